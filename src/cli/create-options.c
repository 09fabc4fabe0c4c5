/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/create-options.h"

#include <string.h>

#include "util/bytesize.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "xml/snapshot-schema.h"

#define XML_MAX (16u << 20) /* bytes */

char *pv_create_push;
static char *opt_engine, *opt_buffer, *opt_on_overrun, *opt_overlay_dir, *opt_xmlfile, *opt_description, *opt_memspec;
static char **opt_diskspec;
static int opt_max_pause = PV_CAPTURE_MAX_PAUSE_DEFAULT;
static gboolean opt_track, opt_check_tracking, opt_no_disks, opt_disk_only, opt_quiesce, opt_keep_overlay;

const GOptionEntry pv_create_entries[] = {
  { "description", 0, 0, G_OPTION_ARG_STRING, &opt_description, "Words to keep with the snapshot", "TEXT" },
  { "engine", 0, 0, G_OPTION_ARG_STRING, &opt_engine, "auto, direct, qemu, live or paused (auto)", "ENGINE" },
  { "max-pause", 0, 0, G_OPTION_ARG_INT, &opt_max_pause, "Engine direct: how long the last memory may take (50)",
    "MS" },
  { "track", 0, 0, G_OPTION_ARG_NONE, &opt_track, "Engine direct: the next such capture reads what was written since",
    NULL },
  { "check-tracking", 0, 0, G_OPTION_ARG_NONE, &opt_check_tracking,
    "Engine direct: compare all memory, in a long pause", NULL },
  { "buffer", 0, 0, G_OPTION_ARG_STRING, &opt_buffer, "Memory for what the store is behind the guest (256MiB)",
    "SIZE" },
  { "on-overrun", 0, 0, G_OPTION_ARG_STRING, &opt_on_overrun,
    "When the buffer is full: spill, throttle or fail (spill)", "POLICY" },
  { "disk-only", 0, 0, G_OPTION_ARG_NONE, &opt_disk_only, "Take the disks without memory", NULL },
  { "no-disks", 0, 0, G_OPTION_ARG_NONE, &opt_no_disks, "Take memory without the disks", NULL },
  { "quiesce", 0, 0, G_OPTION_ARG_NONE, &opt_quiesce, "Freeze the guest's file systems through its agent", NULL },
  { "diskspec", 0, 0, G_OPTION_ARG_STRING_ARRAY, &opt_diskspec,
    "TARGET[,snapshot=no|external][,file=PATH]; may be repeated", "SPEC" },
  { "overlay-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_overlay_dir,
    "Where overlays lie (beside the disks' files)", "DIR" },
  { "keep-overlay", 0, 0, G_OPTION_ARG_NONE, &opt_keep_overlay,
    "Keep the overlays as a chain that libvirt knows as a snapshot", NULL },
  { "memspec", 0, 0, G_OPTION_ARG_STRING, &opt_memspec,
    "With --keep-overlay: a file that libvirt's snapshot has the memory in", "[file=]PATH" },
  { "push", 0, 0, G_OPTION_ARG_STRING, &pv_create_push, "Then copy it there, as 'push' does", "REMOTE" },
  { "xmlfile", 0, 0, G_OPTION_ARG_FILENAME, &opt_xmlfile, "Take name, description and disks from a <domainsnapshot>",
    "FILE" },
  G_OPTION_ENTRY_NULL
};

/* Takes @spec over. What the command line says of a disk comes first. */
static void
add_unless_named (GPtrArray *specs, PvDiskSpec *spec)
{
  for (guint i = 0; i < specs->len; i++)
    if (g_str_equal (((PvDiskSpec *) specs->pdata[i])->target, spec->target))
      {
        pv_disk_spec_free (spec);
        return;
      }
  g_ptr_array_add (specs, spec);
}

static gboolean
read_xmlfile (PvCaptureOptions *capture, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (opt_xmlfile, XML_MAX, error);
  g_autofree char *text = NULL;
  PvSnapshotRequest *request;

  if (bytes == NULL)
    return FALSE;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  request = pv_snapshot_request_parse (text, error);
  if (request == NULL || !pv_snapshot_schema_check (text, error))
    {
      pv_snapshot_request_free (request);
      g_prefix_error (error, "%s: ", opt_xmlfile);
      return FALSE;
    }
  if (capture->name == NULL)
    capture->name = g_strdup (request->name);
  if (capture->description == NULL)
    capture->description = g_strdup (request->description);
  capture->disk_only |= request->disk_only;
  while (request->disks->len > 0)
    add_unless_named (capture->disks, g_ptr_array_steal_index (request->disks, 0));
  pv_snapshot_request_free (request);
  return TRUE;
}

static gboolean
read_diskspecs (PvCaptureOptions *capture, GError **error)
{
  for (char **at = opt_diskspec; at != NULL && *at != NULL; at++)
    {
      PvDiskSpec *spec = pv_disk_spec_parse (*at, error);

      if (spec == NULL)
        {
          g_prefix_error (error, "--diskspec: ");
          return FALSE;
        }
      g_ptr_array_add (capture->disks, spec);
    }
  return TRUE;
}

static gboolean
read_memspec (PvCaptureOptions *capture, GError **error)
{
  if (!pv_memory_spec_parse (opt_memspec, &capture->memory_file, error))
    {
      g_prefix_error (error, "--memspec: ");
      return FALSE;
    }
  capture->disk_only |= capture->memory_file == NULL;
  return TRUE;
}

gboolean
pv_create_options_read (PvCaptureOptions *capture, GError **error)
{
  if (opt_engine != NULL)
    {
      g_free (capture->engine);
      capture->engine = g_strdup (opt_engine);
    }
  if (opt_on_overrun != NULL && !pv_overrun_parse (opt_on_overrun, &capture->on_overrun, error))
    return FALSE;
  if (opt_buffer != NULL && !pv_bytesize_parse (opt_buffer, &capture->buffer, error))
    {
      g_prefix_error (error, "--buffer: ");
      return FALSE;
    }
  capture->description = g_strdup (opt_description);
  capture->overlay_dir = opt_overlay_dir != NULL ? g_canonicalize_filename (opt_overlay_dir, NULL) : NULL;
  capture->max_pause_ms = (guint) MAX (opt_max_pause, 0);
  capture->track = opt_track;
  capture->check_tracking = opt_check_tracking;
  capture->no_disks = opt_no_disks;
  capture->disk_only = opt_disk_only;
  capture->quiesce = opt_quiesce;
  capture->keep_overlay = opt_keep_overlay;
  return (opt_memspec == NULL || read_memspec (capture, error)) && read_diskspecs (capture, error)
         && (opt_xmlfile == NULL || read_xmlfile (capture, error)) && pv_capture_options_check (capture, error);
}

gboolean
pv_create_options_names (char **args, char **domain, char **name, GError **error)
{
  if (strchr (args[0], '@') != NULL && args[1] == NULL)
    return pv_snapshot_name_parse (args[0], domain, name, error);
  if (!pv_domain_name_check (args[0], error) || (args[1] != NULL && !pv_snapshot_name_check (args[1], error)))
    return FALSE;
  *domain = g_strdup (args[0]);
  *name = g_strdup (args[1]);
  return TRUE;
}

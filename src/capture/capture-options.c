/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/capture-options.h"

#include <string.h>

#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static const char *const overrun_names[] = {
  [PV_OVERRUN_SPILL] = "spill",
  [PV_OVERRUN_THROTTLE] = "throttle",
  [PV_OVERRUN_FAIL] = "fail",
};

gboolean
pv_overrun_parse (const char *text, PvOverrun *overrun, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (overrun_names); i++)
    if (g_strcmp0 (text, overrun_names[i]) == 0)
      {
        *overrun = (PvOverrun) i;
        return TRUE;
      }
  return pv_throw (error, PV_ERROR_INVALID, "--on-overrun is spill, throttle or fail, not '%s'", text);
}

const char *
pv_overrun_to_string (PvOverrun overrun)
{
  g_return_val_if_fail ((guint) overrun < G_N_ELEMENTS (overrun_names), NULL);
  return overrun_names[overrun];
}

static void
free_spec (gpointer spec)
{
  pv_disk_spec_free (spec);
}

void
pv_capture_options_init (PvCaptureOptions *self)
{
  *self = (PvCaptureOptions){
    .engine = g_strdup ("auto"),
    .max_pause_ms = PV_CAPTURE_MAX_PAUSE_DEFAULT,
    .buffer = PV_CAPTURE_BUFFER_DEFAULT,
    .disks = g_ptr_array_new_with_free_func (free_spec),
  };
}

void
pv_capture_options_clear (PvCaptureOptions *self)
{
  g_clear_pointer (&self->name, g_free);
  g_clear_pointer (&self->description, g_free);
  g_clear_pointer (&self->engine, g_free);
  g_clear_pointer (&self->memory_file, g_free);
  g_clear_pointer (&self->overlay_dir, g_free);
  g_clear_pointer (&self->disks, g_ptr_array_unref);
}

void
pv_capture_options_copy (PvCaptureOptions *self, const PvCaptureOptions *from)
{
  *self = *from;
  self->name = g_strdup (from->name);
  self->description = g_strdup (from->description);
  self->engine = g_strdup (from->engine);
  self->memory_file = g_strdup (from->memory_file);
  self->overlay_dir = g_strdup (from->overlay_dir);
  self->disks = g_ptr_array_new_with_free_func (free_spec);
  for (guint i = 0; from->disks != NULL && i < from->disks->len; i++)
    {
      const PvDiskSpec *spec = from->disks->pdata[i];
      PvDiskSpec *copy = g_new0 (PvDiskSpec, 1);

      copy->target = g_strdup (spec->target);
      copy->exclude = spec->exclude;
      copy->file = g_strdup (spec->file);
      g_ptr_array_add (self->disks, copy);
    }
}

static gboolean
check_engine (const char *engine, GError **error)
{
  static const char *const engines[] = { "direct", "qemu", "live", "paused", NULL };
  g_auto(GStrv) names = g_strsplit (engine != NULL ? engine : "", ",", -1);
  gboolean ok = names[0] != NULL;

  for (guint i = 0; names[i] != NULL; i++)
    ok = ok && (g_strv_contains (engines, names[i]) || (g_str_equal (names[i], "auto") && g_strv_length (names) == 1));
  return ok
         || pv_throw (error, PV_ERROR_INVALID, "--engine is auto, or of direct, qemu, live and paused one, or several "
                      "with commas between; not '%s'", engine != NULL ? engine : "");
}

/* What only one engine looks at. */
static gboolean
check_direct (const PvCaptureOptions *self, GError **error)
{
  if (self->check_tracking && !g_str_equal (self->engine, "direct"))
    return pv_throw (error, PV_ERROR_INVALID, "--check-tracking is for --engine direct, and no other behind it");
  if (self->track && strstr (self->engine, "direct") == NULL)
    return pv_throw (error, PV_ERROR_INVALID, "--track is for --engine direct");
  return (self->max_pause_ms > 0 && self->max_pause_ms <= PV_CAPTURE_MAX_PAUSE_MAX)
         || pv_throw (error, PV_ERROR_INVALID, "--max-pause is from 1 to %d milliseconds", PV_CAPTURE_MAX_PAUSE_MAX);
}

gboolean
pv_capture_options_check (const PvCaptureOptions *self, GError **error)
{
  g_autofree char *minimum = NULL;

  if (self->name != NULL && !pv_snapshot_name_check (self->name, error))
    return FALSE;
  if (!check_engine (self->engine, error) || !check_direct (self, error))
    return FALSE;
  if (self->no_disks && self->disk_only)
    return pv_throw (error, PV_ERROR_INVALID, "--no-disks and --disk-only together leave nothing to take");
  if (self->no_disks && self->keep_overlay)
    return pv_throw (error, PV_ERROR_INVALID, "--keep-overlay needs disks: leave --no-disks out");
  if (self->no_disks && self->disks->len > 0)
    return pv_throw (error, PV_ERROR_INVALID, "--diskspec and --no-disks contradict each other");
  if (self->no_disks && self->quiesce)
    return pv_throw (error, PV_ERROR_INVALID, "--quiesce is about disks: leave --no-disks out");
  if (self->memory_file != NULL && (self->disk_only || !self->keep_overlay))
    return pv_throw (error, PV_ERROR_INVALID, "--memspec names a file for libvirt's snapshot: it needs memory and "
                                              "--keep-overlay");
  if (self->overlay_dir != NULL && !g_path_is_absolute (self->overlay_dir))
    return pv_throw (error, PV_ERROR_INVALID, "--overlay-dir must be a whole path, '%s' is not", self->overlay_dir);
  if (self->buffer >= PV_CAPTURE_BUFFER_MIN)
    return TRUE;
  minimum = pv_bytesize_format (PV_CAPTURE_BUFFER_MIN);
  return pv_throw (error, PV_ERROR_INVALID, "--buffer is at least %s", minimum);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a plan: how large the disks are, and the overlays made ahead. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/disk-plan.h"
#include "util/error.h"
#include "util/fault.h"
#include "virt/overlay-chain.h"

/* By qemu-img, which reads beside a running QEMU too: an array of images, the uppermost first. */
static JsonNode *
look_at_images (const char *path, const char *format, GError **error)
{
  const char *argv[] = { "qemu-img", "info", "--force-share", "--output=json", "--backing-chain", "-f", format, "--",
                         path,       NULL };
  g_autofree char *text = NULL;
  g_autofree char *message = NULL;
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(GError) local = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &text, &message, &status, &local))
    pv_throw (error, PV_ERROR_FAILED, "cannot run qemu-img (install qemu-utils): %s", local->message);
  else if (!g_spawn_check_wait_status (status, NULL))
    pv_throw (error, PV_ERROR_FAILED, "cannot look at the image '%s': %s", path, g_strstrip (message));
  else
    {
      node = json_from_string (text, NULL);
      if (node != NULL && JSON_NODE_HOLDS_ARRAY (node) && json_array_get_length (json_node_get_array (node)) > 0)
        return g_steal_pointer (&node);
      pv_throw (error, PV_ERROR_FAILED, "qemu-img's answer about '%s' is not understood", path);
    }
  return NULL;
}

static const char *
image_name (JsonArray *images, guint index)
{
  JsonNode *node = json_array_get_element (images, index);

  return JSON_NODE_HOLDS_OBJECT (node)
             ? json_object_get_string_member_with_default (json_node_get_object (node), "filename", NULL)
             : NULL;
}

/* A guest that runs uses the layers that libvirt has told QEMU; who reads them from outside finds those that the images
 * name. Somebody may have rewritten that meanwhile. */
static gboolean
check_chain (const PvDiskPlanEntry *entry, JsonArray *images, GError **error)
{
  gboolean same = json_array_get_length (images) == entry->backing->len + 1;

  for (guint i = 0; same && i < entry->backing->len; i++)
    same = pv_same_image (image_name (images, i + 1), entry->backing->pdata[i]);
  return same
         || pv_throw (error, PV_ERROR_UNSUPPORTED,
                      "'%s' names other layers below it than the running guest has (compare qemu-img info "
                      "--backing-chain with virsh dumpxml): leave the disk out with --diskspec %s,snapshot=no",
                      entry->path, entry->target);
}

static gboolean
measure (PvDiskPlanEntry *entry, GError **error)
{
  g_autoptr(JsonNode) node = look_at_images (entry->path, entry->format, error);
  JsonArray *images = node != NULL ? json_node_get_array (node) : NULL;
  JsonObject *top;

  if (images == NULL || (entry->overlay != NULL && !check_chain (entry, images, error)))
    return FALSE;
  top = json_array_get_object_element (images, 0);
  entry->size = (guint64) json_object_get_int_member_with_default (top, "virtual-size", 0);
  return TRUE;
}

gboolean
pv_disk_plan_measure (PvDiskPlan *self, guint64 *total, GError **error)
{
  *total = 0;
  for (guint i = 0; i < self->entries->len; i++)
    {
      PvDiskPlanEntry *entry = self->entries->pdata[i];

      if (entry->taken && !measure (entry, error))
        {
          g_prefix_error (error, "disk %s: ", entry->target);
          return FALSE;
        }
      *total += entry->taken ? entry->size : 0;
    }
  return TRUE;
}

/* An empty file that only its owner, the owner of the base, may open: its descriptor, or -1. */
static int
make_file (const PvDiskPlanEntry *entry, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, entry->overlay, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, error);
  struct stat st;

  if (fd < 0)
    return -1;
  if (stat (entry->path, &st) < 0)
    {
      pv_throw_errno (error, errno, "cannot look at '%s'", entry->path);
      return -1;
    }
  if (fchown (fd, st.st_uid, st.st_gid) < 0)
    g_debug ("cannot give '%s' the owner of '%s': %s", entry->overlay, entry->path, g_strerror (errno));
  return pv_fd_steal (&fd);
}

/* In the child, before exec: the file stays open for it, and it does not outlive us. */
static void
set_up_child (gpointer fd)
{
  fcntl (GPOINTER_TO_INT (fd), F_SETFD, 0);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* By its descriptor, not its name: one that is still at work when we were killed and the guardian has removed the file
 * must not make it anew. */
static gboolean
run_qemu_img (const PvDiskPlanEntry *entry, int fd, GError **error)
{
  g_autofree char *file = g_strdup_printf ("/proc/self/fd/%d", fd);
  const char *argv[]
      = { "qemu-img", "create", "-q", "-f", "qcow2", "-b", entry->path, "-F", entry->format, file, NULL };
  g_autofree char *message = NULL;
  g_autoptr(GError) local = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, set_up_child,
                     GINT_TO_POINTER (fd), NULL, &message, &status, &local))
    return pv_throw (error, PV_ERROR_FAILED, "cannot run qemu-img (install qemu-utils): %s", local->message);
  if (g_spawn_check_wait_status (status, NULL))
    return TRUE;
  return pv_throw (error, PV_ERROR_FAILED, "cannot make the overlay '%s': %s", entry->overlay, g_strstrip (message));
}

static gboolean
create_overlay (const PvDiskPlanEntry *entry, GError **error)
{
  g_auto(PvFd) fd = pv_fault ("capture.overlay.create", error) ? make_file (entry, error) : PV_FD_NONE;

  return fd >= 0 && run_qemu_img (entry, fd, error);
}

gboolean
pv_disk_plan_create_overlays (PvDiskPlan *self, PvJournal *journal, GError **error)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      const PvDiskPlanEntry *entry = self->entries->pdata[i];
      g_autoptr(GError) local = NULL;
      gboolean ok;

      if (entry->overlay == NULL)
        continue;
      if (!pv_journal_add (journal, TRUE, error, PV_STEP_OVERLAY, entry->target, entry->overlay, entry->path, NULL))
        return FALSE;
      ok = create_overlay (entry, &local);
      /* somebody else's file of that name is not ours to remove */
      if (g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS) && !pv_journal_over (journal, PV_STEP_OVERLAY, error))
        return FALSE;
      if (!ok)
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&local), "disk %s: ", entry->target);
          return FALSE;
        }
    }
  return TRUE;
}

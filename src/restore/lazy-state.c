/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/lazy-state.h"

#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/postcopy-stream.h"
#include "store/store-keys.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/json-members.h"

#define LAYOUT 1
#define ASIDE ".over-" /* in the name of a directory that is being removed */

enum
{
  PATIENCE_US = 20 * 1000 * 1000, /* with a pager that is about to end */
  LOOK_US = 20 * 1000,
};

#define DOCUMENT_MAX (1u << 20) /* bytes */

static const char *const phases[] = { "starting", "running", "recovering", "waiting", "damaged", "dead" };

const char *
pv_lazy_phase_to_string (PvLazyPhase phase)
{
  g_return_val_if_fail (phase < G_N_ELEMENTS (phases), NULL);

  return phases[phase];
}

void
pv_lazy_status_clear (PvLazyStatus *self)
{
  g_clear_pointer (&self->message, g_free);
}

void
pv_lazy_state_free (PvLazyState *self)
{
  if (self == NULL)
    return;
  g_free (self->directory);
  g_free (self->uuid);
  g_free (self->domain);
  g_free (self->snapshot);
  g_free (self->uri);
  g_free (self);
}

/* --- documents --------------------------------------------------------------------------------------------------- */

/* Whole or not at all; not synced: none of it outlives the machine. */
static gboolean
write_document (const PvLazyState *self, const char *name, JsonBuilder *builder, GError **error)
{
  g_autofree char *text = pv_json_text (builder, TRUE);
  g_autofree char *path = g_build_filename (self->directory, name, NULL);

  return pv_write_cache_file (path, text, strlen (text), error);
}

/* (transfer full) */
static JsonNode *
read_document (const char *directory, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  g_autoptr(GBytes) bytes = pv_read_file (path, DOCUMENT_MAX, error);
  g_autoptr(JsonParser) parser = json_parser_new_immutable ();
  g_autoptr(GError) why = NULL;
  gsize size;
  const char *data;

  if (bytes == NULL)
    return NULL;
  data = g_bytes_get_data (bytes, &size);
  if (json_parser_load_from_data (parser, data, (gssize) size, &why) && json_parser_get_root (parser) != NULL
      && JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    return json_parser_steal_root (parser);
  pv_corrupt (error, "'%s' is not what a pager wrote%s%s", path, why != NULL ? ": " : "",
              why != NULL ? why->message : "");
  return NULL;
}

static const char *
get_string (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
}

static guint64
get_number (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  gint64 value = node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_int (node) : 0;

  return (guint64) MAX (value, 0);
}

/* --- the directory ----------------------------------------------------------------------------------------------- */

static char *
directory_of (const char *store_directory, const char *uuid)
{
  return g_build_filename (store_directory, "pagers", uuid, NULL);
}

static gboolean
write_description (PvLazyState *self, PvSnapshot *snapshot, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autofree char *path = g_build_filename (self->directory, "snapshot", NULL);
  g_autoptr(GBytes) object = pv_snapshot_serialize (snapshot);
  gsize size;
  gconstpointer data = g_bytes_get_data (object, &size);

  json_builder_begin_object (builder);
  pv_json_size (builder, "layout", LAYOUT);
  pv_json_string (builder, "uuid", self->uuid);
  pv_json_string (builder, "domain", self->domain);
  pv_json_string (builder, "snapshot", self->snapshot);
  pv_json_string (builder, "uri", self->uri);
  pv_json_size (builder, "rate", self->rate);
  json_builder_end_object (builder);
  return pv_write_file (path, data, size, error) && write_document (self, "restore.json", builder, error);
}

/* TRUE when @lock is of the directory that is there now, not of one that a pager removed meanwhile. */
static gboolean
lock_counts (const PvLazyState *self, int lock)
{
  g_autofree char *path = g_build_filename (self->directory, "lock", NULL);
  struct stat there, ours;

  return stat (path, &there) == 0 && fstat (lock, &ours) == 0 && there.st_ino == ours.st_ino
         && there.st_dev == ours.st_dev;
}

/* A pager whose guest was just ended may not have noticed yet. */
static int
make_and_lock (const PvLazyState *self, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr(GError) local = NULL;
      g_auto(PvFd) lock = PV_FD_NONE;

      if (!pv_mkdirs (self->directory, 0700, error))
        return -1;
      lock = pv_lazy_state_lock (self, &local);
      if (lock >= 0 && lock_counts (self, lock))
        return pv_fd_steal (&lock);
      if (g_get_monotonic_time () > deadline
          || (local != NULL && !g_error_matches (local, PV_ERROR, PV_ERROR_BUSY)
              && !g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND)))
        {
          if (local == NULL)
            pv_throw (&local, PV_ERROR_BUSY, "'%s' comes and goes", self->directory);
          g_propagate_error (error, g_steal_pointer (&local));
          return -1;
        }
      g_usleep (LOOK_US);
    }
}

static gboolean
write_all (PvLazyState *self, PvSnapshot *snapshot, GError **error)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *old = g_build_filename (self->directory, i == 0 ? "status.json" : "hurry", NULL);

      if (!pv_unlink (old, error))
        return FALSE;
    }
  return write_description (self, snapshot, error);
}

int
pv_lazy_state_create (PvLazyState *self, const char *store_directory, PvSnapshot *snapshot, GError **error)
{
  g_auto(PvFd) lock = PV_FD_NONE;

  g_free (self->directory);
  self->directory = directory_of (store_directory, self->uuid);
  lock = make_and_lock (self, error);
  if (lock < 0)
    return -1;
  if (write_all (self, snapshot, error))
    return pv_fd_steal (&lock);
  pv_lazy_state_remove (self, NULL);
  return -1;
}

PvLazyState *
pv_lazy_state_read (const char *store_directory, const char *uuid, GError **error)
{
  g_autofree char *directory = directory_of (store_directory, uuid);
  g_autoptr(JsonNode) node = read_document (directory, "restore.json", error);
  JsonObject *object = node != NULL ? json_node_get_object (node) : NULL;
  g_autoptr(PvLazyState) self = NULL;

  if (object == NULL)
    return NULL;
  if (get_number (object, "layout") != LAYOUT || g_strcmp0 (get_string (object, "uuid"), uuid) != 0
      || get_string (object, "domain") == NULL || get_string (object, "snapshot") == NULL
      || get_string (object, "uri") == NULL)
    {
      pv_corrupt (error, "'%s/restore.json' is of another version, or damaged", directory);
      return NULL;
    }
  self = g_new0 (PvLazyState, 1);
  self->directory = g_steal_pointer (&directory);
  self->uuid = g_strdup (uuid);
  self->domain = g_strdup (get_string (object, "domain"));
  self->snapshot = g_strdup (get_string (object, "snapshot"));
  self->uri = g_strdup (get_string (object, "uri"));
  self->rate = get_number (object, "rate");
  return g_steal_pointer (&self);
}

PvSnapshot *
pv_lazy_state_snapshot (const PvLazyState *self, PvStore *store, GError **error)
{
  g_autofree char *path = g_build_filename (self->directory, "snapshot", NULL);
  g_autoptr(GBytes) bytes = pv_read_file (path, PV_SNAPSHOT_OBJECT_MAX, error);

  return bytes != NULL ? pv_snapshot_parse_with_key (bytes, pv_store_get_key (store), 0, error) : NULL;
}

GPtrArray *
pv_lazy_state_list (const char *store_directory)
{
  g_autofree char *directory = g_build_filename (store_directory, "pagers", NULL);
  g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_lazy_state_free);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);
      PvLazyState *state = strstr (name, ASIDE) == NULL ? pv_lazy_state_read (store_directory, name, NULL) : NULL;

      if (strstr (name, ASIDE) != NULL && !pv_remove_tree (path, NULL))
        g_debug ("'%s' stays", path); /* its pager does it, or the next look */
      if (state != NULL)
        g_ptr_array_add (list, state);
    }
  return list;
}

int
pv_lazy_state_lock (const PvLazyState *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->directory, "lock", NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, error);
  g_autoptr(GError) local = NULL;

  if (fd < 0)
    return -1;
  if (pv_flock (fd, LOCK_EX | LOCK_NB, path, &local))
    return pv_fd_steal (&fd);
  if (g_error_matches (local, PV_ERROR, PV_ERROR_BUSY))
    pv_throw (error, PV_ERROR_BUSY, "a pager serves guest %s still", self->domain);
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return -1;
}

gboolean
pv_lazy_state_dead (const PvLazyState *self)
{
  g_autofree char *path = g_build_filename (self->directory, "lock", NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR, 0, NULL);

  return fd < 0 || pv_flock (fd, LOCK_SH | LOCK_NB, path, NULL);
}

/* Out of the way first: the next restore may be making the directory again. */
gboolean
pv_lazy_state_remove (const PvLazyState *self, GError **error)
{
  g_autofree char *aside = g_strdup_printf ("%s" ASIDE "%d", self->directory, (int) getpid ());

  return pv_rename (self->directory, aside, error) && pv_remove_tree (aside, error);
}

/* --- status ------------------------------------------------------------------------------------------------------ */

guint64
pv_lazy_status_there (const PvLazyStatus *self)
{
  /* a page of zeros that was asked for was sent too */
  return MIN (self->sent_pages + self->zero_pages, self->total_pages) * PV_POSTCOPY_PAGE;
}

gboolean
pv_lazy_state_write_status (const PvLazyState *self, const PvLazyStatus *status, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pv_json_string (builder, "phase", pv_lazy_phase_to_string (status->phase));
  pv_json_size (builder, "pid", (guint64) status->pid);
  pv_json_size (builder, "total_pages", status->total_pages);
  pv_json_size (builder, "sent_pages", status->sent_pages);
  pv_json_size (builder, "zero_pages", status->zero_pages);
  pv_json_size (builder, "pages_on_demand", status->pages_on_demand);
  pv_json_size (builder, "demand_us", status->demand_us);
  pv_json_size (builder, "pages_ahead", status->pages_ahead);
  pv_json_size (builder, "takeovers", status->takeovers);
  pv_json_string (builder, "message", status->message);
  json_builder_end_object (builder);
  return write_document (self, "status.json", builder, error);
}

gboolean
pv_lazy_state_read_status (const PvLazyState *self, PvLazyStatus *status, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(JsonNode) node = read_document (self->directory, "status.json", &local);
  JsonObject *object = node != NULL ? json_node_get_object (node) : NULL;
  const char *phase = object != NULL ? get_string (object, "phase") : NULL;

  *status = (PvLazyStatus) { .phase = PV_LAZY_STARTING };
  if (object == NULL && !g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  for (guint i = 0; phase != NULL && i < G_N_ELEMENTS (phases); i++)
    if (g_str_equal (phase, phases[i]))
      status->phase = (PvLazyPhase) i;
  if (object != NULL)
    {
      status->pid = (gint64) get_number (object, "pid");
      status->total_pages = get_number (object, "total_pages");
      status->sent_pages = get_number (object, "sent_pages");
      status->zero_pages = get_number (object, "zero_pages");
      status->pages_on_demand = get_number (object, "pages_on_demand");
      status->demand_us = get_number (object, "demand_us");
      status->pages_ahead = get_number (object, "pages_ahead");
      status->takeovers = get_number (object, "takeovers");
      status->message = g_strdup (get_string (object, "message"));
    }
  if (pv_lazy_state_dead (self))
    status->phase = PV_LAZY_DEAD;
  return TRUE;
}

gboolean
pv_lazy_state_hurry (const PvLazyState *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->directory, "hurry", NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT, 0600, error);

  return fd >= 0;
}

gboolean
pv_lazy_state_hurried (const PvLazyState *self)
{
  g_autofree char *path = g_build_filename (self->directory, "hurry", NULL);

  return access (path, F_OK) == 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/journal.h"

#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"

#define OVER_LIVE "live"

struct _PvJournal
{
  char *path; /* (owned) */
  PvFd fd;
};

static const struct
{
  const char *name;
  guint n_arguments;
} kinds[PV_N_STEPS] = {
  [PV_STEP_BEGIN] = { "begin", 3 },
  [PV_STEP_OVERLAY] = { "overlay", 3 },
  [PV_STEP_CAPABILITY] = { "capability", 1 },
  [PV_STEP_PARAMETER] = { "parameter", 2 },
  [PV_STEP_FD] = { "fd", 1 },
  [PV_STEP_FREEZE] = { "freeze", 0 },
  [PV_STEP_PAUSE] = { "pause", 0 },
  [PV_STEP_MIGRATE] = { "migrate", 1 },
  [PV_STEP_KEEP] = { "keep", 1 },
  [PV_STEP_OVER] = { "over", 1 },
};

const char *
pv_step_kind_to_string (PvStepKind kind)
{
  g_return_val_if_fail ((guint) kind < PV_N_STEPS, NULL);
  return kinds[kind].name;
}

char *
pv_journal_path (const char *store_directory, const char *uuid)
{
  return g_build_filename (store_directory, "captures", uuid, NULL);
}

static PvJournal *
journal_new (const char *path, int fd)
{
  PvJournal *self = g_new0 (PvJournal, 1);

  self->path = g_strdup (path);
  self->fd = fd;
  return self;
}

PvJournal *
pv_journal_create (const char *path, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  int fd;

  if (!pv_fault ("capture.journal.create", error) || !pv_mkdirs (directory, 0700, error))
    return NULL;
  fd = pv_openat (AT_FDCWD, path, O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0600, error);
  return fd >= 0 ? journal_new (path, fd) : NULL;
}

PvJournal *
pv_journal_open (const char *path, GError **error)
{
  g_autoptr(GError) local = NULL;
  int fd = pv_openat (AT_FDCWD, path, O_RDWR | O_APPEND, 0, &local);

  if (fd >= 0)
    return journal_new (path, fd);
  if (!g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

void
pv_journal_free (PvJournal *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->fd);
  g_free (self->path);
  g_free (self);
}

/* (transfer full): a JSON array of strings and the end of the line. */
static char *
compose_line (PvStepKind kind, va_list arguments)
{
  g_autoptr(JsonNode) node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();
  g_autofree char *text = NULL;
  const char *argument;

  json_array_add_string_element (array, kinds[kind].name);
  while ((argument = va_arg (arguments, const char *)) != NULL)
    json_array_add_string_element (array, argument);
  g_assert (json_array_get_length (array) == kinds[kind].n_arguments + 1);
  json_node_take_array (node, array);
  text = json_to_string (node, FALSE);
  return g_strconcat (text, "\n", NULL);
}

gboolean
pv_journal_add (PvJournal *self, gboolean durable, GError **error, PvStepKind kind, ...)
{
  g_autofree char *directory = g_path_get_dirname (self->path);
  g_autofree char *line = NULL;
  va_list arguments;

  va_start (arguments, kind);
  line = compose_line (kind, arguments);
  va_end (arguments);
  if (!pv_fault ("capture.journal.add", error) || !pv_write_all (self->fd, line, strlen (line), self->path, error))
    return FALSE;
  return !durable || (pv_fsync (self->fd, self->path, error) && pv_fsync_dir (directory, error));
}

gboolean
pv_journal_over (PvJournal *self, PvStepKind kind, GError **error)
{
  return pv_journal_add (self, FALSE, error, PV_STEP_OVER, kinds[kind].name, NULL);
}

gboolean
pv_journal_over_live (PvJournal *self, GError **error)
{
  return pv_journal_add (self, FALSE, error, PV_STEP_OVER, OVER_LIVE, NULL);
}

static gboolean
find_kind (const char *name, PvStepKind *kind)
{
  for (guint i = 0; i < PV_N_STEPS; i++)
    if (g_strcmp0 (name, kinds[i].name) == 0)
      {
        *kind = (PvStepKind) i;
        return TRUE;
      }
  return FALSE;
}

static void
step_free (gpointer data)
{
  PvStep *step = data;

  g_strfreev (step->arguments);
  g_free (step);
}

static PvStep *
parse_line (const char *line, GError **error)
{
  g_autoptr(JsonNode) node = json_from_string (line, error);
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  g_autoptr(GStrvBuilder) arguments = g_strv_builder_new ();
  guint n = array != NULL ? json_array_get_length (array) : 0;
  PvStepKind kind = PV_N_STEPS;
  PvStep *step;

  for (guint i = 0; i < n; i++)
    {
      const char *text = json_node_get_string (json_array_get_element (array, i));

      if (text == NULL || (i == 0 && !find_kind (text, &kind)))
        return NULL;
      if (i > 0)
        g_strv_builder_add (arguments, text);
    }
  if (n == 0 || kinds[kind].n_arguments + 1 != n)
    return NULL;
  step = g_new0 (PvStep, 1);
  step->kind = kind;
  step->arguments = g_strv_builder_end (arguments);
  return step;
}

static void
mark_over (GPtrArray *steps, const char *name)
{
  gboolean live = g_str_equal (name, OVER_LIVE);

  for (guint i = steps->len; i > 0; i--)
    {
      PvStep *step = steps->pdata[i - 1];

      if (live)
        step->over |= step->kind != PV_STEP_BEGIN && step->kind != PV_STEP_OVERLAY && step->kind != PV_STEP_KEEP;
      else if (!step->over && g_str_equal (kinds[step->kind].name, name))
        {
          step->over = TRUE;
          return;
        }
    }
}

GPtrArray *
pv_journal_steps (PvJournal *self, GError **error)
{
  g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func (step_free);
  g_autoptr(GBytes) bytes = pv_read_file (self->path, PV_JOURNAL_MAX, error);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (bytes == NULL)
    return NULL;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  lines = g_strsplit (text, "\n", -1);
  /* the last piece has no end: empty, or not whole */
  for (guint i = 0; lines[0] != NULL && lines[i + 1] != NULL; i++)
    {
      g_autoptr(GError) local = NULL;
      PvStep *step = parse_line (lines[i], &local);

      if (step == NULL)
        {
          pv_corrupt (error, "journal '%s': line %u makes no sense", self->path, i + 1);
          return NULL;
        }
      g_ptr_array_add (steps, step);
      if (step->kind == PV_STEP_OVER)
        mark_over (steps, step->arguments[0]);
    }
  return g_steal_pointer (&steps);
}

const char *
pv_journal_file (PvJournal *self)
{
  return self->path;
}

gboolean
pv_journal_remove (PvJournal *self, GError **error)
{
  return pv_fault ("capture.journal.remove", error) && pv_unlink (self->path, error);
}

/* (transfer full) */
static char *
run_path (const char *uuid)
{
  if (geteuid () == 0)
    return g_build_filename ("/run/pagevault", uuid, NULL);
  return g_build_filename (g_get_user_runtime_dir (), "pagevault", uuid, NULL);
}

char *
pv_journal_run_directory (const char *uuid, GError **error)
{
  g_autofree char *path = run_path (uuid);

  return pv_mkdirs (path, 0700, error) ? g_steal_pointer (&path) : NULL;
}

int
pv_journal_lock (const char *uuid, const char *name, GError **error)
{
  g_autofree char *directory = pv_journal_run_directory (uuid, error);
  g_autofree char *path = directory != NULL ? g_build_filename (directory, "lock", NULL) : NULL;
  g_autoptr(GError) local = NULL;
  g_auto(PvFd) fd = PV_FD_NONE;

  if (path == NULL)
    return -1;
  fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, error);
  if (fd < 0)
    return -1;
  if (pv_flock (fd, LOCK_EX | LOCK_NB, path, &local))
    return pv_fd_steal (&fd);
  if (g_error_matches (local, PV_ERROR, PV_ERROR_BUSY))
    pv_throw (error, PV_ERROR_BUSY,
              "guest %s: another capture works on it, or puts it back after a failure: wait for it to end", name);
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return -1;
}

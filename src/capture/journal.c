/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"

#define OVER_LIVE "live"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum
{
  LAYOUT_VERSION = 1,
  BEGIN_BOOT = 3, /* arguments of PV_STEP_BEGIN */
  BEGIN_COPY = 4,
};

struct _PvJournal
{
  char *path; /* (owned) */
  PvFd fd;
  char *copy; /* (owned) (nullable): its durable lines: of one that was created here */
  PvFd copy_fd;
};

static const struct
{
  const char *name;
  guint n_arguments;
} kinds[PV_N_STEPS] = {
  [PV_STEP_BEGIN] = { "begin", 5 },
  [PV_STEP_OVERLAY] = { "overlay", 3 },
  [PV_STEP_CAPABILITY] = { "capability", 1 },
  [PV_STEP_PARAMETER] = { "parameter", 2 },
  [PV_STEP_FD] = { "fd", 1 },
  [PV_STEP_FDSET] = { "fdset", 1 },
  [PV_STEP_FREEZE] = { "freeze", 0 },
  [PV_STEP_PAUSE] = { "pause", 0 },
  [PV_STEP_MIGRATE] = { "migrate", 1 },
  [PV_STEP_LIFT] = { "lift", 0 },
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
pv_journal_path (const char *uuid, GError **error)
{
  g_autofree char *directory = pv_journal_run_directory (uuid, error);

  return directory != NULL ? g_build_filename (directory, "journal", NULL) : NULL;
}

char *
pv_journal_copy_path (const char *store_directory, const char *uuid)
{
  g_autofree char *absolute = g_canonicalize_filename (store_directory, NULL);

  return g_build_filename (absolute, "captures", uuid, NULL);
}

static PvJournal *
journal_new (const char *path, int fd)
{
  PvJournal *self = g_new0 (PvJournal, 1);

  self->path = g_strdup (path);
  self->fd = fd;
  self->copy_fd = PV_FD_NONE;
  return self;
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
  pv_fd_clear (&self->copy_fd);
  g_free (self->path);
  g_free (self->copy);
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

/* Half a line would spoil the next one too. */
static gboolean
append (int fd, const char *line, const char *path, GError **error)
{
  struct stat before;

  if (fstat (fd, &before) < 0)
    return pv_throw_errno (error, errno, "cannot look at '%s'", path);
  if (pv_write_all (fd, line, strlen (line), path, error))
    return TRUE;
  if (ftruncate (fd, before.st_size) < 0)
    g_debug ("cannot shorten '%s': %s", path, g_strerror (errno));
  return FALSE;
}

gboolean
pv_journal_add (PvJournal *self, gboolean durable, GError **error, PvStepKind kind, ...)
{
  g_autofree char *line = NULL;
  va_list arguments;

  va_start (arguments, kind);
  line = compose_line (kind, arguments);
  va_end (arguments);
  if (!pv_fault ("capture.journal.add", error) || !append (self->fd, line, self->path, error))
    return FALSE;
  return !durable || self->copy_fd < 0
         || (pv_fault ("capture.journal.copy", error) && append (self->copy_fd, line, self->copy, error)
             && pv_fsync (self->copy_fd, self->copy, error));
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

static GPtrArray *
read_steps (PvJournal *self, GError **error)
{
  g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func (step_free);
  g_auto(GStrv) lines = pv_read_lines (self->path, PV_JOURNAL_MAX, error);

  if (lines == NULL)
    return NULL;
  for (guint i = 0; lines[i] != NULL; i++)
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

/* (transfer full): empty where the kernel does not tell. */
static char *
boot_id (void)
{
  char *text = NULL;

  if (!g_file_get_contents (BOOT_ID, &text, NULL, NULL))
    return g_strdup ("");
  return g_strstrip (text);
}

gboolean
pv_journal_is_of_this_start (GPtrArray *steps)
{
  const PvStep *begin = steps->len > 0 ? steps->pdata[0] : NULL;
  g_autofree char *boot = boot_id ();

  return begin == NULL || begin->kind != PV_STEP_BEGIN || g_str_equal (begin->arguments[BEGIN_BOOT], boot);
}

GPtrArray *
pv_journal_steps (PvJournal *self, GError **error)
{
  g_autoptr(GPtrArray) steps = read_steps (self, error);

  if (steps != NULL && !pv_journal_is_of_this_start (steps))
    mark_over (steps, OVER_LIVE);
  return g_steal_pointer (&steps);
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static void
remove_quietly (const char *path)
{
  g_autoptr(GError) error = NULL;

  if (!pv_unlink (path, &error))
    g_debug ("%s", error->message);
}

/* With the lock held and what was left put in order: a copy that is there still tells of nothing. */
static gboolean
make (PvJournal *self, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (self->copy);

  self->copy_fd = pv_mkdirs (directory, 0700, error)
                    ? pv_openat (AT_FDCWD, self->copy, O_RDWR | O_APPEND | O_CREAT | O_TRUNC, 0600, error)
                    : PV_FD_NONE;
  return self->copy_fd >= 0 && pv_fsync_dir (directory, error) && pv_fault ("capture.journal.made", error);
}

PvJournal *
pv_journal_create (const char *path, const char *copy, const char *domain, const char *was, GError **error)
{
  g_autofree char *version = g_strdup_printf ("%d", LAYOUT_VERSION);
  g_autofree char *boot = boot_id ();
  g_autoptr(PvJournal) self = journal_new (path, PV_FD_NONE);

  if (!pv_fault ("capture.journal.create", error))
    return NULL;
  self->fd = pv_openat (AT_FDCWD, path, O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0600, error);
  if (self->fd < 0)
    return NULL;
  self->copy = g_strdup (copy);
  if (make (self, error) && pv_journal_add (self, TRUE, error, PV_STEP_BEGIN, version, domain, was, boot, copy, NULL))
    return g_steal_pointer (&self);
  remove_quietly (path);
  remove_quietly (copy);
  return NULL;
}

PvJournal *
pv_journal_find (const char *path, const char *copy, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvJournal) self = pv_journal_open (path, &local);
  g_autoptr(GPtrArray) steps = NULL;

  if (self == NULL && local == NULL)
    {
      self = pv_journal_open (copy, &local);
      steps = self != NULL ? read_steps (self, &local) : NULL;
      if (steps != NULL && pv_journal_is_of_this_start (steps))
        {
          pv_unlink (copy, error);
          return NULL;
        }
    }
  if (local == NULL)
    return g_steal_pointer (&self);
  g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

const char *
pv_journal_file (PvJournal *self)
{
  return self->path;
}

/* A copy that cannot be removed now tells of nothing that is not undone: pv_journal_find() removes it. */
gboolean
pv_journal_remove (PvJournal *self, GError **error)
{
  g_autoptr(GPtrArray) steps = NULL;
  const PvStep *begin;

  if (!pv_fault ("capture.journal.remove", error))
    return FALSE;
  steps = read_steps (self, NULL);
  begin = steps != NULL && steps->len > 0 ? steps->pdata[0] : NULL;
  if (!pv_unlink (self->path, error) || !pv_fault ("capture.journal.removed", error))
    return FALSE;
  if (begin != NULL && begin->kind == PV_STEP_BEGIN)
    remove_quietly (begin->arguments[BEGIN_COPY]);
  return TRUE;
}

char *
pv_journal_place (const char *uuid)
{
  if (geteuid () == 0)
    return g_build_filename ("/run/pagevault", uuid, NULL);
  return g_build_filename (g_get_user_runtime_dir (), "pagevault", uuid, NULL);
}

char *
pv_journal_run_directory (const char *uuid, GError **error)
{
  g_autofree char *path = pv_journal_place (uuid);

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

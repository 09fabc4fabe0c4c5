/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-journal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define FOLDER "restores"
#define WAY_BACK "0" /* what names begin with, so that they sort */
#define FORTH "1"
#define ARGUMENTS_MAX 3u

struct _PvRestoreJournal
{
  char *path; /* (owned) */
  PvFd fd;    /* locked */
};

static const struct
{
  const char *name;
  guint n_arguments;
} kinds[PV_N_MADE] = {
  [PV_MADE_GUEST] = { "guest", 3 }, [PV_MADE_FILE] = { "file", 3 },
  [PV_MADE_REPLACE] = { "replace", 3 }, [PV_MADE_LOAD] = { "load", 0 },
  [PV_MADE_DEFINITION] = { "definition", 1 }, [PV_MADE_COMMIT] = { "commit", 1 },
};

const char *
pv_made_kind_to_string (PvMadeKind kind)
{
  g_return_val_if_fail ((guint) kind < PV_N_MADE, NULL);
  return kinds[kind].name;
}

static PvRestoreJournal *
journal_new (const char *path, int fd)
{
  PvRestoreJournal *self = g_new0 (PvRestoreJournal, 1);

  self->path = g_strdup (path);
  self->fd = fd;
  return self;
}

/* TRUE when @fd is what @path names: not one that its owner has removed meanwhile. */
static gboolean
is_named (int fd, const char *path)
{
  struct stat open, named;

  return fstat (fd, &open) == 0 && stat (path, &named) == 0 && open.st_dev == named.st_dev
         && open.st_ino == named.st_ino;
}

PvRestoreJournal *
pv_restore_journal_create (const char *store_directory, const char *name, gboolean way_back, GError **error)
{
  g_autofree char *directory = g_build_filename (store_directory, FOLDER, NULL);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, name, -1);
  g_autofree char *base = g_strdup_printf ("%s-%s", way_back ? WAY_BACK : FORTH, digest);
  g_autofree char *path = g_build_filename (directory, base, NULL);
  g_autoptr(GError) local = NULL;
  g_auto(PvFd) fd = PV_FD_NONE;
  struct stat st;

  if (!pv_mkdirs (directory, 0700, error))
    return NULL;
  do
    {
      pv_fd_clear (&fd);
      fd = pv_openat (AT_FDCWD, path, O_RDWR | O_APPEND | O_CREAT, 0600, error);
      if (fd < 0)
        return NULL;
      if (!pv_flock (fd, LOCK_EX | LOCK_NB, path, &local))
        {
          pv_throw (error, PV_ERROR_BUSY, "another restore of '%s' is at work: wait for it to end", name);
          return NULL;
        }
    }
  while (!is_named (fd, path));
  if (fstat (fd, &st) == 0 && st.st_size > 0)
    {
      pv_throw (error, PV_ERROR_EXISTS, "a restore of '%s' was killed, and has not been cleaned up: '%s'", name, path);
      return NULL;
    }
  return journal_new (path, pv_fd_steal (&fd));
}

PvRestoreJournal *
pv_restore_journal_open (const char *path, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_APPEND | O_NOFOLLOW, 0, &local);

  if (fd >= 0 && pv_flock (fd, LOCK_EX | LOCK_NB, path, &local))
    return is_named (fd, path) ? journal_new (path, pv_fd_steal (&fd)) : NULL;
  if (!g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND) && !g_error_matches (local, PV_ERROR, PV_ERROR_BUSY))
    g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

void
pv_restore_journal_free (PvRestoreJournal *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->fd);
  g_free (self->path);
  g_free (self);
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
pv_restore_journal_list (const char *store_directory, GError **error)
{
  g_autofree char *directory = g_build_filename (store_directory, FOLDER, NULL);
  g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) local = NULL;
  g_autoptr(GDir) dir = g_dir_open (directory, 0, &local);
  const char *name;

  if (dir == NULL && !g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    {
      pv_throw (error, PV_ERROR_FAILED, "%s", local->message);
      return NULL;
    }
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (paths, g_build_filename (directory, name, NULL));
  g_ptr_array_sort (paths, compare_paths);
  return g_steal_pointer (&paths);
}

/* (transfer full): GVariant's text form of an array of byte strings, and the end of the line. */
static char *
compose_line (PvMadeKind kind, va_list arguments)
{
  const char *words[ARGUMENTS_MAX + 2] = { kinds[kind].name };
  g_autoptr(GVariant) variant = NULL;
  g_autofree char *text = NULL;
  guint n = 1;
  const char *argument;

  while ((argument = va_arg (arguments, const char *)) != NULL)
    {
      g_assert (n <= kinds[kind].n_arguments);
      words[n++] = argument;
    }
  g_assert (n == kinds[kind].n_arguments + 1);
  variant = g_variant_ref_sink (g_variant_new_bytestring_array (words, (gssize) n));
  text = g_variant_print (variant, FALSE);
  return g_strconcat (text, "\n", NULL);
}

gboolean
pv_restore_journal_add (PvRestoreJournal *self, GError **error, PvMadeKind kind, ...)
{
  g_autofree char *before = g_strconcat ("restore.", kinds[kind].name, NULL);
  g_autofree char *after = g_strconcat (before, ".after", NULL);
  g_autofree char *line = NULL;
  va_list arguments;

  va_start (arguments, kind);
  line = compose_line (kind, arguments);
  va_end (arguments);
  return pv_fault (before, error) && pv_write_all (self->fd, line, strlen (line), self->path, error)
         && pv_fault (after, error);
}

static void
made_free (gpointer data)
{
  PvMade *made = data;

  g_strfreev (made->arguments);
  g_free (made);
}

/* (nullable) (transfer full) */
static PvMade *
parse_line (const char *line)
{
  g_autoptr(GVariant) variant = g_variant_parse (G_VARIANT_TYPE_BYTESTRING_ARRAY, line, NULL, NULL, NULL);
  g_auto(GStrv) words = variant != NULL ? g_variant_dup_bytestring_array (variant, NULL) : NULL;
  PvMade *made;

  for (guint i = 0; words != NULL && words[0] != NULL && i < PV_N_MADE; i++)
    if (g_str_equal (words[0], kinds[i].name) && g_strv_length (words) == kinds[i].n_arguments + 1)
      {
        made = g_new0 (PvMade, 1);
        made->kind = (PvMadeKind) i;
        made->arguments = g_strdupv (words + 1);
        return made;
      }
  return NULL;
}

GPtrArray *
pv_restore_journal_steps (PvRestoreJournal *self, GError **error)
{
  g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func (made_free);
  g_auto(GStrv) lines = pv_read_lines (self->path, PV_RESTORE_JOURNAL_MAX, error);

  if (lines == NULL)
    return NULL;
  for (guint i = 0; lines[i] != NULL; i++)
    {
      PvMade *made = parse_line (lines[i]);

      if (made == NULL)
        {
          pv_corrupt (error, "journal '%s': line %u makes no sense", self->path, i + 1);
          return NULL;
        }
      g_ptr_array_add (steps, made);
    }
  return g_steal_pointer (&steps);
}

const char *
pv_restore_journal_file (PvRestoreJournal *self)
{
  return self->path;
}

gboolean
pv_restore_journal_remove (PvRestoreJournal *self, GError **error)
{
  return pv_fault ("restore.journal.remove", error) && pv_unlink (self->path, error);
}

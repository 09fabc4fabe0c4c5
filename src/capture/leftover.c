/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/leftover.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "util/error.h"

void
pv_leftover_free (PvLeftover *self)
{
  g_clear_error (&self->error);
  g_free (self->uuid);
  g_free (self->domain);
  g_free (self->path);
  g_free (self);
}

/* Whoever works on the guest has locked it before there is a journal, and until there is none any more. */
static gboolean
is_locked (const char *uuid)
{
  g_autofree char *directory = pv_journal_place (uuid);
  g_autofree char *path = g_build_filename (directory, "lock", NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, NULL);
  g_autoptr(GError) error = NULL;

  return fd >= 0 && !pv_flock (fd, LOCK_SH | LOCK_NB, path, &error)
         && g_error_matches (error, PV_ERROR, PV_ERROR_BUSY);
}

/* (nullable) (transfer full): what the journal at @path tells; NULL when there is none. */
static PvLeftover *
look_at (const char *uuid, const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvJournal) journal = pv_journal_open (path, &error);
  g_autoptr(GPtrArray) steps = journal != NULL ? pv_journal_steps (journal, &error) : NULL;
  const PvStep *begin = steps != NULL && steps->len > 0 ? steps->pdata[0] : NULL;
  PvLeftover *self;

  if (journal == NULL && error == NULL)
    return NULL;
  if (g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND))
    return NULL; /* it has gone meanwhile */
  self = g_new0 (PvLeftover, 1);
  self->uuid = g_strdup (uuid);
  self->path = g_strdup (path);
  self->error = g_steal_pointer (&error);
  if (begin != NULL && begin->kind == PV_STEP_BEGIN)
    {
      self->domain = g_strdup (begin->arguments[1]);
      self->reboot = !pv_journal_is_of_this_start (steps);
    }
  return self;
}

/* (nullable) (transfer full) */
static PvLeftover *
look_for (const char *store_directory, const char *uuid)
{
  g_autofree char *directory = pv_journal_place (uuid);
  g_autofree char *path = g_build_filename (directory, "journal", NULL);
  g_autofree char *copy = pv_journal_copy_path (store_directory, uuid);
  gboolean at_work = g_file_test (path, G_FILE_TEST_EXISTS) && is_locked (uuid);
  PvLeftover *self = look_at (uuid, path); /* looked at last: one that was removed meanwhile was not left */

  if (self != NULL)
    {
      self->at_work = at_work;
      return self;
    }
  self = look_at (uuid, copy);
  if (self != NULL && self->error == NULL && !self->reboot)
    g_clear_pointer (&self, pv_leftover_free); /* of a capture that was undone while its store was away */
  return self;
}

/* Adds what is called like a UUID in @directory. */
static void
add_names (GTree *names, const char *directory)
{
  g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_uuid_string_is_valid (name))
      g_tree_insert (names, g_strdup (name), NULL);
}

static int
compare (gconstpointer a, gconstpointer b, gpointer data)
{
  return strcmp (a, b);
}

GPtrArray *
pv_leftover_list (const char *store_directory)
{
  GPtrArray *found = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_leftover_free);
  g_autoptr(GTree) names = g_tree_new_full (compare, NULL, g_free, NULL);
  g_autofree char *run = pv_journal_place (NULL);
  g_autofree char *copies = pv_journal_copy_path (store_directory, "");

  add_names (names, run);
  add_names (names, copies);
  for (GTreeNode *node = g_tree_node_first (names); node != NULL; node = g_tree_node_next (node))
    {
      PvLeftover *one = look_for (store_directory, g_tree_node_key (node));

      if (one != NULL)
        g_ptr_array_add (found, one);
    }
  return found;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An index in a directory of its own, and short ways to write to it: for the tests of this room. */
#pragma once

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "index/index.h"
#include "made-up-name.h"
#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *directory; /* (owned) */
  PvIndex *index;  /* (owned) */
  int n_locks;
} Fixture;

static inline void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pv-index-XXXXXX", &error);
  g_assert_no_error (error);
  self->index = pv_index_open (self->directory, TRUE, &error);
  g_assert_no_error (error);
}

static inline void
assert_undamaged (PvIndex *index)
{
  g_autoptr(GPtrArray) damage = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_index_verify (index, damage, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < damage->len; i++)
    g_test_message ("%s", (char *) damage->pdata[i]);
  g_assert_cmpuint (damage->len, ==, 0);
}

static inline void
tear_down (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  assert_undamaged (self->index);
  pv_index_unref (self->index);
  g_assert_true (pv_remove_tree (self->directory, &error));
  g_free (self->directory);
}

static inline void
reopen (Fixture *self)
{
  g_autoptr(GError) error = NULL;

  pv_index_unref (self->index);
  self->index = pv_index_open (self->directory, FALSE, &error);
  g_assert_no_error (error);
}

typedef struct
{
  PvIndexWriter *writer; /* (owned) */
  PvFd lock;
} Writing;

static inline void
writing_clear (Writing *self)
{
  g_clear_pointer (&self->writer, pv_index_writer_free);
  pv_fd_clear (&self->lock);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Writing, writing_clear)

static inline Writing
begin (Fixture *self)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_strdup_printf ("%s/lock-%d", self->directory, self->n_locks++);
  Writing writing = { NULL, pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &error) };

  g_assert_no_error (error);
  g_assert_true (pv_flock (writing.lock, LOCK_EX | LOCK_NB, path, &error));
  writing.writer = pv_index_writer_begin (self->index, path, &error);
  g_assert_no_error (error);
  return writing;
}

/* Adds a pack called @pack with the objects numbered @first to @first + @n - 1. */
static inline guint32
add_pack (Writing *writing, guint64 pack, guint64 first, guint n)
{
  g_autoptr(GError) error = NULL;
  g_autofree PvIndexEntry *entries = g_new0 (PvIndexEntry, n);
  PvName name = make_name (G_MAXUINT32 + pack);
  guint32 number = 0;

  g_assert_true (pv_index_writer_add_pack (writing->writer, &name, 4096 * (guint64) n, n, &number, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    entries[i] = (PvIndexEntry) { make_name (first + i), { number, i / 32, i % 32 } };
  g_assert_true (pv_index_writer_add (writing->writer, entries, n, &error));
  g_assert_no_error (error);
  return number;
}

static inline gboolean
commit (Writing *writing, const char *domain, const char *name, GError **error)
{
  g_autoptr(GBytes) object = g_bytes_new (name, name != NULL ? strlen (name) : 0);
  PvSnapshotRow row = { .id = make_name (7), .domain = (char *) domain, .name = (char *) name, .time = 5,
                        .stored_size = 9, .object = object };

  return pv_index_writer_commit (writing->writer, domain != NULL ? &row : NULL, error);
}

static inline void
commit_ok (Writing *writing, const char *domain, const char *name)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (commit (writing, domain, name, &error));
  g_assert_no_error (error);
  writing_clear (writing);
}

/* The pack of object @number; 0 when it is not there. */
static inline guint32
find (PvIndex *index, guint64 number, PvPackState *state)
{
  g_autoptr(GError) error = NULL;
  PvName name = make_name (number);
  PvLocation location = { 0 };
  gboolean found = pv_index_lookup (index, &name, &location, state, &error);

  g_assert_no_error (error);
  return found ? location.pack : 0;
}

static inline guint32
writer_find (Writing *writing, guint64 number)
{
  g_autoptr(GError) error = NULL;
  PvName name = make_name (number);
  PvLocation location = { 0 };
  gboolean found = pv_index_writer_lookup (writing->writer, &name, &location, &error);

  g_assert_no_error (error);
  return found ? location.pack : 0;
}

static inline PvIndexStats
get_stats (PvIndex *index)
{
  g_autoptr(GError) error = NULL;
  PvIndexStats stats;

  g_assert_true (pv_index_stats (index, &stats, &error));
  g_assert_no_error (error);
  return stats;
}

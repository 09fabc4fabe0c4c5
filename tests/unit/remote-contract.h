/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What storage/remote/remote.h promises of every transport, as functions that check it on a remote that is empty below
 * the keys "contract/". For tests of a transport; each function leaves nothing behind. */
#pragma once

#include "remote/remote.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

static GBytes *
contract_bytes (const char *text)
{
  return g_bytes_new (text, strlen (text));
}

static void
contract_put (PvRemote *remote, const char *key, const char *text)
{
  g_autoptr(GBytes) bytes = contract_bytes (text);
  g_autoptr(GError) error = NULL;

  pv_remote_put (remote, key, bytes, PV_REMOTE_PUT_DEFAULT, NULL, &error);
  g_assert_no_error (error);
}

static void
contract_delete (PvRemote *remote, const char *key)
{
  g_autoptr(GError) error = NULL;

  pv_remote_delete (remote, key, NULL, &error);
  g_assert_no_error (error);
}

static void
contract_is (PvRemote *remote, const char *key, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = pv_remote_get_all (remote, key, strlen (text), NULL, &error);
  guint64 size = 0;

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), text, strlen (text));
  g_assert_true (pv_remote_stat (remote, key, &size, NULL, &error));
  g_assert_cmpuint (size, ==, strlen (text));
}

static inline void
contract_objects (PvRemote *remote)
{
  g_autoptr(GError) stat_error = NULL, get_error = NULL, all_error = NULL;
  guint64 size;

  g_assert_false (pv_remote_stat (remote, "contract/a", &size, NULL, &stat_error));
  g_assert_error (stat_error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_null (pv_remote_get (remote, "contract/a", 0, 1, NULL, &get_error));
  g_assert_error (get_error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (get_error->message, "contract/a"));
  contract_put (remote, "contract/a", "one");
  contract_is (remote, "contract/a", "one");
  contract_put (remote, "contract/a", "another");
  contract_is (remote, "contract/a", "another");
  g_assert_null (pv_remote_get_all (remote, "contract/a", 6, NULL, &all_error));
  g_assert_error (all_error, PV_ERROR, PV_ERROR_CORRUPT);
  contract_put (remote, "contract/empty", "");
  contract_is (remote, "contract/empty", "");
  contract_delete (remote, "contract/empty");
  contract_delete (remote, "contract/a");
  contract_delete (remote, "contract/a");
  g_assert_false (pv_remote_stat (remote, "contract/a", NULL, NULL, NULL));
}

static inline void
contract_ranges (PvRemote *remote)
{
  static const struct
  {
    guint64 offset;
    gsize length;
    gboolean there;
  } cases[] = { { 0, 1, TRUE },   { 3, 4, TRUE },   { 0, 10, TRUE },       { 9, 1, TRUE },
                { 0, 11, FALSE }, { 9, 2, FALSE },  { 10, 1, FALSE },      { 1000, 5, FALSE },
                { 1, G_MAXINT32, FALSE } };
  const char *text = "0123456789";

  contract_put (remote, "contract/ranges", text);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GBytes) bytes =
          pv_remote_get (remote, "contract/ranges", cases[i].offset, cases[i].length, NULL, &error);

      if (cases[i].there)
        {
          g_assert_no_error (error);
          g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), text + cases[i].offset,
                           cases[i].length);
        }
      else
        {
          g_assert_null (bytes);
          g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
        }
    }
  contract_delete (remote, "contract/ranges");
}

/* TRUE when the remote has conditional puts. */
static inline gboolean
contract_if_absent (PvRemote *remote)
{
  g_autoptr(GBytes) one = contract_bytes ("one"), two = contract_bytes ("two");
  g_autoptr(GError) error = NULL, exists = NULL;

  if (!pv_remote_put (remote, "contract/once", one, PV_REMOTE_PUT_IF_ABSENT, NULL, &error))
    {
      g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
      g_assert_false (pv_remote_stat (remote, "contract/once", NULL, NULL, NULL));
      return FALSE;
    }
  g_assert_false (pv_remote_put (remote, "contract/once", two, PV_REMOTE_PUT_IF_ABSENT, NULL, &exists));
  g_assert_error (exists, PV_ERROR, PV_ERROR_EXISTS);
  contract_is (remote, "contract/once", "one");
  g_assert_true (pv_remote_put (remote, "contract/once", one, PV_REMOTE_PUT_IF_ABSENT, NULL, &error));
  g_assert_no_error (error);
  contract_delete (remote, "contract/once");
  return TRUE;
}

static gboolean
contract_collect (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  GString *list = data;

  g_string_append_printf (list, "%s:%u ", entry->key, (guint) entry->size);
  g_assert_cmpint (ABS (entry->mtime - g_get_real_time () / G_USEC_PER_SEC), <, 86400);
  return TRUE;
}

static void
contract_list_is (PvRemote *remote, const char *prefix, const char *after, const char *expected)
{
  g_autoptr(GString) list = g_string_new (NULL);
  g_autoptr(GError) error = NULL;

  pv_remote_list (remote, prefix, after, contract_collect, list, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (list->str, ==, expected);
}

static gboolean
contract_stop (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  return pv_throw (error, PV_ERROR_BUSY, "enough");
}

static inline void
contract_list (PvRemote *remote)
{
  static const char *const keys[] = { "contract/l/b-c", "contract/l/b/a", "contract/l/b/c/d", "contract/l/b0",
                                      "contract/l/B", "contract/lone" };
  g_autoptr(GError) error = NULL;

  contract_list_is (remote, "contract/l", NULL, "");
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    contract_put (remote, keys[i], keys[i]);
  contract_list_is (remote, "contract/l", NULL,
                    "contract/l/B:12 contract/l/b-c:14 contract/l/b/a:14 contract/l/b/c/d:16 contract/l/b0:13 "
                    "contract/lone:13 ");
  contract_list_is (remote, "contract/l/", "contract/l/b/a", "contract/l/b/c/d:16 contract/l/b0:13 ");
  contract_list_is (remote, "contract/l/b/", NULL, "contract/l/b/a:14 contract/l/b/c/d:16 ");
  contract_list_is (remote, "contract/l/b", "contract/l/b/c", "contract/l/b/c/d:16 contract/l/b0:13 ");
  contract_list_is (remote, "contract/l/b/c/d", NULL, "contract/l/b/c/d:16 ");
  contract_list_is (remote, "contract/none", NULL, "");
  g_assert_false (pv_remote_list (remote, "contract/l", NULL, contract_stop, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    contract_delete (remote, keys[i]);
  contract_list_is (remote, "contract/l", NULL, "");
}

static void
contract_progress (guint64 done, gpointer data)
{
  *(guint64 *) data = done;
}

/* The bytes of a file that can be checked at any place: 8 bytes at a time tell their own offset. */
static int
contract_file (guint64 size)
{
  int fd = memfd_create ("contract", MFD_CLOEXEC);
  g_autofree guint64 *block = g_new (guint64, 8192);
  gsize block_size = 8192 * sizeof *block;

  g_assert_cmpint (fd, >=, 0);
  for (guint64 at = 0; at < size; at += block_size)
    {
      for (guint i = 0; i < 8192; i++)
        block[i] = GUINT64_TO_LE (at + i * 8);
      g_assert_true (pv_pwrite_all (fd, block, (gsize) MIN (block_size, size - at), at, "memory", NULL));
    }
  return fd;
}

static void
contract_same (int a, int b, guint64 size)
{
  gsize step = 1 << 20;
  g_autofree guint8 *one = g_malloc (step), *two = g_malloc (step);

  for (guint64 at = 0; at < size; at += step)
    {
      gsize n = (gsize) MIN (step, size - at);

      g_assert_true (pv_pread_exact (a, one, n, at, "a", NULL) && pv_pread_exact (b, two, n, at, "b", NULL));
      g_assert_true (memcmp (one, two, n) == 0);
    }
  g_assert_cmpint (lseek (b, 0, SEEK_END), ==, (off_t) size);
}

/* A file of @size bytes (more than 5) goes up and comes down. */
static inline void
contract_files (PvRemote *remote, guint64 size)
{
  g_auto(PvFd) fd = contract_file (size), back = memfd_create ("back", MFD_CLOEXEC);
  g_autoptr(GError) error = NULL, longer = NULL, shorter = NULL;
  g_autoptr(GBytes) tail = NULL;
  guint64 done = 0, found = 0;

  g_assert_true (pv_remote_put_file (remote, "contract/file", fd, size, NULL, contract_progress, &done, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (done, ==, size);
  g_assert_true (pv_remote_stat (remote, "contract/file", &found, NULL, NULL));
  g_assert_cmpuint (found, ==, size);
  done = 0;
  g_assert_true (pv_remote_get_file (remote, "contract/file", back, size, NULL, contract_progress, &done, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (done, ==, size);
  contract_same (fd, back, size);
  tail = pv_remote_get (remote, "contract/file", size - 5, 5, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (tail), ==, 5);
  g_assert_false (pv_remote_get_file (remote, "contract/file", back, size + 1, NULL, NULL, NULL, &longer));
  g_assert_error (longer, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_false (pv_remote_get_file (remote, "contract/file", back, size - 1, NULL, NULL, NULL, &shorter));
  g_assert_error (shorter, PV_ERROR, PV_ERROR_CORRUPT);
  contract_delete (remote, "contract/file");
}

/* A file that is shorter than was said is not put. */
static inline void
contract_short_file (PvRemote *remote)
{
  g_auto(PvFd) fd = contract_file (100);
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_remote_put_file (remote, "contract/short", fd, 101, NULL, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_false (pv_remote_stat (remote, "contract/short", NULL, NULL, NULL));
}

static inline void
contract_cancelled (PvRemote *remote)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GBytes) bytes = contract_bytes ("x");
  g_autoptr(GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_false (pv_remote_put (remote, "contract/cancelled", bytes, PV_REMOTE_PUT_DEFAULT, cancellable, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CANCELLED);
  g_assert_false (pv_remote_stat (remote, "contract/cancelled", NULL, NULL, NULL));
}

static gpointer
contract_thread (gpointer data)
{
  PvRemote *remote = data;
  static gint count;
  guint me = (guint) g_atomic_int_add (&count, 1);

  for (guint i = 0; i < 10; i++)
    {
      g_autofree char *key = g_strdup_printf ("contract/t%u/%u", me, i);

      contract_put (remote, key, key);
      contract_is (remote, key, key);
      contract_delete (remote, key);
    }
  return NULL;
}

static inline void
contract_threads (PvRemote *remote)
{
  GThread *threads[6];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("contract", contract_thread, remote);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of remotes share: two stores, and a directory that both push to. */
#pragma once

#include <errno.h>
#include <glib/gstdio.h>

#include "store-fixture.h"
#include "store/mirror-private.h"
#include "store/pull.h"
#include "store/push.h"
#include "store/store-private.h"

typedef struct
{
  Fixture a, b;
  char *bucket;
  PvRemote *remote;
} Hosts;

static inline void
hosts_setup (Hosts *h, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *url = NULL;

  fixture_setup (&h->a, data);
  fixture_setup (&h->b, data);
  h->bucket = g_build_filename (h->a.root, "bucket", NULL);
  g_assert_cmpint (g_mkdir (h->bucket, 0700), ==, 0);
  url = g_strconcat ("file://", h->bucket, NULL);
  h->remote = pv_remote_open (url, NULL, &error);
  g_assert_no_error (error);
}

static inline void
hosts_teardown (Hosts *h, gconstpointer data)
{
  pv_remote_unref (h->remote);
  g_free (h->bucket);
  fixture_teardown (&h->b, data);
  fixture_teardown (&h->a, data);
}

static inline PvMirror *
mirror_of (Hosts *h, Fixture *f)
{
  g_autoptr(GError) error = NULL;
  PvMirror *mirror = pv_mirror_open (f->store, "bucket", h->remote, &error);

  g_assert_no_error (error);
  return mirror;
}

static inline PvPushResult
push (Hosts *h, Fixture *f, PvSnapshot *snapshot)
{
  g_autoptr(PvMirror) mirror = mirror_of (h, f);
  g_autoptr(GError) error = NULL;
  PvPushResult result;

  pv_store_push (f->store, mirror, snapshot, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return result;
}

/* What the remote lists, as this host sees it: no warnings. */
static inline GPtrArray *
list_remote (PvMirror *mirror)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  GPtrArray *list;

  pv_mirror_refresh_snapshots (mirror, warnings, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < warnings->len; i++)
    g_test_message ("%s", (char *) warnings->pdata[i]);
  g_assert_cmpuint (warnings->len, ==, 0);
  list = pv_mirror_list (mirror, NULL, &error);
  g_assert_no_error (error);
  return list;
}

/* (transfer full): the first file below @prefix of the bucket, by name. */
static inline char *
object_below (Hosts *h, const char *prefix)
{
  g_autofree char *command = g_strdup_printf ("find '%s/%s' -type f | LC_ALL=C sort | head -n 1", h->bucket, prefix);
  char *argv[] = { (char *) "sh", (char *) "-c", command, NULL };
  char *output = NULL;

  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, NULL, NULL));
  g_strchomp (output);
  g_assert_cmpstr (output, !=, "");
  return output;
}

static inline guint
count_objects (Hosts *h, const char *prefix)
{
  g_autofree char *command = g_strdup_printf ("find '%s/%s' -type f 2>/dev/null | wc -l", h->bucket, prefix);
  char *argv[] = { (char *) "sh", (char *) "-c", command, NULL };
  g_autofree char *output = NULL;

  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, NULL, NULL));
  return (guint) g_ascii_strtoull (output, NULL, 10);
}

/* Flips a bit in the middle of a file. */
static inline void
damage_file (const char *path)
{
  g_autofree char *data = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  data[size / 2] ^= 1;
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  g_assert_true (g_file_set_contents (path, data, (gssize) size, NULL));
}

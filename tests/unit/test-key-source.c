/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/key-source.h"

#include <string.h>

#include "restore/passphrase.h"
#include "store/unlock.h"
#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *root, *store, *right, *wrong;
} Fixture;

static void
put (const char *path, const char *text)
{
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->root = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  f->store = g_build_filename (f->root, "store", NULL);
  f->right = g_build_filename (f->root, "right", NULL);
  f->wrong = g_build_filename (f->root, "wrong", NULL);
  put (f->right, "correct horse\n");
  put (f->wrong, "correct horse \n");
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  pv_unlock_set_func (NULL, NULL, FALSE);
  g_assert_true (pv_remove_tree (f->root, NULL));
  g_free (f->root);
  g_free (f->store);
  g_free (f->right);
  g_free (f->wrong);
}

/* A store whose key this process does not know. */
static void
make_store (Fixture *f)
{
  const PvKeySource source = { .passphrase_file = f->right };
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  guint8 uuid[PV_KEY_UUID_SIZE];
  PvStoreFormat format;

  pv_store_format_init (&format);
  pv_store_format_uuid (&format, uuid);
  g_assert_true (pv_key_source_wrap (&source, key, PV_KEY_COST_MIN, uuid, &format.key_slots[0], NULL));
  format.n_key_slots = 1;
  g_assert_true (pv_store_create (f->store, &format, NULL));
}

static void
test_open (Fixture *f, gconstpointer unused)
{
  PvKeySource none = { .ask = FALSE }, wrong = { .passphrase_file = f->wrong }, right = { .passphrase_file = f->right };
  g_autoptr(GError) no_key = NULL, wrong_key = NULL, error = NULL;
  g_autoptr(PvStore) store = NULL;

  make_store (f);
  pv_key_source_install (&none);
  g_assert_null (pv_store_open (f->store, 0, &no_key));
  g_assert_error (no_key, PV_ERROR, PV_ERROR_DENIED);
  pv_key_source_install (&wrong);
  g_assert_null (pv_store_open (f->store, 0, &wrong_key));
  g_assert_error (wrong_key, PV_ERROR, PV_ERROR_DENIED);
  g_assert_cmpuint (wrong.slot, ==, 0);
  pv_key_source_install (&right);
  store = pv_store_open (f->store, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (right.slot, ==, 1);
}

static void
assert_refused (Fixture *f, const char *text, gsize size)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_set_contents (f->right, text, (gssize) size, NULL));
  g_assert_null (pv_passphrase_read (f->right, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

static void
test_files (Fixture *f, gconstpointer unused)
{
  g_autofree char *longest = g_strnfill (PV_KEY_PASSPHRASE_MAX, 'x');
  g_autofree char *too_long = g_strnfill (PV_KEY_PASSPHRASE_MAX + 1, 'x');
  g_autoptr(PvPassphrase) plain = pv_passphrase_read (f->right, NULL);
  g_autoptr(PvPassphrase) other = pv_passphrase_read (f->wrong, NULL);
  g_autoptr(PvPassphrase) two_lines = NULL, most = NULL;
  g_autoptr(GError) missing = NULL;

  g_assert_cmpmem (plain->bytes, plain->size, "correct horse", strlen ("correct horse"));
  g_assert_true (pv_passphrase_equal (plain, plain));
  g_assert_false (pv_passphrase_equal (plain, other));
  put (f->right, "a\nb\n\n");
  two_lines = pv_passphrase_read (f->right, NULL);
  g_assert_cmpmem (two_lines->bytes, two_lines->size, "a\nb\n", 4);
  put (f->right, longest);
  most = pv_passphrase_read (f->right, NULL);
  g_assert_cmpuint (most->size, ==, PV_KEY_PASSPHRASE_MAX);
  assert_refused (f, "", 0);
  assert_refused (f, "\n", 1);
  assert_refused (f, too_long, PV_KEY_PASSPHRASE_MAX + 1);
  g_assert_null (pv_passphrase_read (f->store, &missing));
  g_assert_error (missing, PV_ERROR, PV_ERROR_NOT_FOUND);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/key-source/open", Fixture, NULL, set_up, test_open, tear_down);
  g_test_add ("/key-source/files", Fixture, NULL, set_up, test_files, tear_down);
  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memsnap.h"

#include <errno.h>

#include "memsnap-fixture.h"
#include "util/error.h"

/* --- refusals --- */

static void
assert_refused (gpointer address, gsize length, PvMemsnapEngine engine, gint code)
{
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  pv_memsnap_set_engine (snapshot, engine);
  if (pv_memsnap_add_region (snapshot, address, length, &error))
    g_assert_false (pv_memsnap_take (snapshot, &error));
  g_assert_error (error, PV_ERROR, code);
  g_test_message ("%s", error->message);
}

static void
test_refused (void)
{
  guint8 *memory = new_memory (ANONYMOUS, 4 * PAGE);
  guint8 *shared = new_memory (SHARED, 4 * PAGE);
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  assert_refused (memory + 1, PAGE, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  assert_refused (memory, PAGE + 1, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  assert_refused (memory, 0, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  assert_refused (shared, 4 * PAGE, PV_MEMSNAP_ENGINE_FORK, PV_ERROR_UNSUPPORTED);
  assert_refused (memory, 4 * PAGE, PV_MEMSNAP_ENGINE_MPROTECT, PV_ERROR_UNSUPPORTED);
  munmap (memory + 2 * PAGE, PAGE);
  assert_refused (memory, 4 * PAGE, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  g_assert_false (pv_memsnap_take (snapshot, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_true (pv_memsnap_add_region (snapshot, shared, 2 * PAGE, &error));
  g_assert_false (pv_memsnap_add_region (snapshot, shared + PAGE, PAGE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  errno = 0;
  g_assert_null (memory_snapshot_create (memory + 1, PAGE));
  g_assert_cmpint (errno, ==, EINVAL);
  munmap (memory, PAGE);
  munmap (shared, 4 * PAGE);
}

/* The calls of 2013. */
static void
test_create_delete (void)
{
  gsize size = 100 * PAGE;
  guint8 *memory = new_memory (ANONYMOUS, size);
  const guint8 *first, *second;

  fill (memory, size, 1);
  first = memory_snapshot_create (memory, size);
  g_assert_nonnull (first);
  fill (memory, size, 2);
  second = memory_snapshot_create (memory, size);
  g_assert_nonnull (second);
  fill (memory, size, 3);
  assert_filled (first, size, 1);
  memory_snapshot_delete ((gpointer) first);
  assert_filled (second, size, 2);
  memory_snapshot_delete ((gpointer) second);
  memory_snapshot_delete (NULL);
  assert_filled (memory, size, 3);
  munmap (memory, size);
}

/* Two regions of one instant, chosen by AUTO. */
static void
test_regions (void)
{
  guint8 *one = new_memory (ANONYMOUS, 10 * PAGE), *two = new_memory (SHARED, 20 * PAGE);
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  fill (one, 10 * PAGE, 1);
  fill (two, 20 * PAGE, 2);
  g_assert_true (pv_memsnap_add_region (snapshot, one, 10 * PAGE, &error));
  g_assert_true (pv_memsnap_add_region (snapshot, two, 20 * PAGE, &error));
  g_assert_null (pv_memsnap_get_engine (snapshot, NULL));
  g_assert_true (pv_memsnap_take (snapshot, &error));
  g_assert_cmpstr (pv_memsnap_get_engine (snapshot, NULL), ==, "uffd");
  fill (one, 10 * PAGE, 3);
  fill (two, 20 * PAGE, 4);
  assert_filled (pv_memsnap_get_address (snapshot, 0), 10 * PAGE, 1);
  assert_filled (pv_memsnap_get_address (snapshot, 1), 20 * PAGE, 2);
  g_assert_cmpuint (pv_memsnap_get_n_regions (snapshot), ==, 2);
  g_assert_cmpuint (pv_memsnap_get_length (snapshot, 1), ==, 20 * PAGE);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (one, 10 * PAGE);
  munmap (two, 20 * PAGE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/memsnap/refused", test_refused);
  g_test_add_func ("/memsnap/create-delete", test_create_delete);
  g_test_add_func ("/memsnap/regions", test_regions);
  return g_test_run ();
}

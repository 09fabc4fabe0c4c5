/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-fixture.h"

static PvGcResult
delete_and_gc (Fixture *f, const char *name)
{
  g_autoptr(GError) error = NULL;
  PvGcResult result;

  if (name != NULL)
    pv_store_delete (f->store, "guest", name, &error);
  g_assert_no_error (error);
  pv_store_gc (f->store, 70, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return result;
}

/* What is pinned can be read after it was deleted and collected; without the pin it goes. */
static void
test_keeps (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (4 * MIB);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  PvStorePin *pin;

  fill_random (data, 4 * MIB, 1);
  snapshot = take (f, "a", NULL, data, 4 * MIB, NULL);
  pin = pv_store_pin (f->store, snapshot, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (delete_and_gc (f, "a").packs_removed, ==, 0);
  fixture_open (f);
  assert_content (f->store, snapshot, PV_VOLUME_RAM, "ram", data, 4 * MIB);
  pv_store_pin_free (pin);
  g_assert_cmpuint (delete_and_gc (f, NULL).packs_removed, ==, 1);
}

/* What is not listed any more cannot be pinned; neither can a snapshot that only has the same name. */
static void
test_gone (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (MIB);
  g_autoptr(PvSnapshot) before = NULL;
  g_autoptr(PvSnapshot) after = NULL;
  g_autoptr(GError) error = NULL;

  fill_random (data, MIB, 1);
  before = take (f, "a", NULL, data, MIB, NULL);
  g_assert_true (pv_store_delete (f->store, "guest", "a", &error));
  g_assert_null (pv_store_pin (f->store, before, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  fill_random (data, MIB, 2);
  after = take (f, "a", NULL, data, MIB, NULL);
  g_assert_null (pv_store_pin (f->store, before, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/store-pin/keeps", Fixture, NULL, fixture_setup, test_keeps, fixture_teardown);
  g_test_add ("/store-pin/gone", Fixture, NULL, fixture_setup, test_gone, fixture_teardown);
  return g_test_run ();
}

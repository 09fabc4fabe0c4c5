/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-shared.h"

#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define N_PAGES 100000u

static void
test_another_goes_on (void)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = PV_FD_NONE;
  g_autoptr(PvPagerShared) first = pv_pager_shared_map (&fd, N_PAGES, &error);
  g_autoptr(PvPagerShared) second = NULL;
  const guint64 pages[] = { 7, 99999 };
  guint64 page = 0;

  g_assert_no_error (error);
  g_assert_true (pv_pager_shared_request (first, 12));
  pv_pager_shared_intend (first, PV_INTENT_PAGES, pages, 2);
  /* the first one is killed here */
  second = pv_pager_shared_map (&fd, N_PAGES, &error);
  g_assert_no_error (error);
  g_assert_cmpint (second->intent, ==, PV_INTENT_PAGES);
  g_assert_true (pv_pager_shared_peek (second, &page));
  g_assert_cmpuint (page, ==, 12);
  pv_pager_shared_done (second);
  g_assert_true (pv_pager_shared_is_sent (second, 7));
  g_assert_true (pv_pager_shared_is_sent (second, 99999));
  g_assert_false (pv_pager_shared_is_sent (second, 12));
  g_assert_cmpuint (second->n_sent, ==, 2);
}

static void
test_requests (void)
{
  g_auto(PvFd) fd = PV_FD_NONE;
  g_autoptr(PvPagerShared) self = pv_pager_shared_map (&fd, N_PAGES, NULL);
  guint64 page = 0;

  g_assert_false (pv_pager_shared_peek (self, &page));
  pv_pager_shared_set_sent (self, 3);
  g_assert_true (pv_pager_shared_request (self, 3)); /* on its way already */
  g_assert_false (pv_pager_shared_peek (self, &page));
  for (guint i = 0; i < PV_PAGER_RING; i++)
    g_assert_true (pv_pager_shared_request (self, 1000 + i));
  g_assert_true (pv_pager_shared_request (self, 1000)); /* waits already */
  g_assert_false (pv_pager_shared_request (self, 5));
  for (guint i = 0; i < PV_PAGER_RING; i++)
    {
      g_assert_true (pv_pager_shared_peek (self, &page));
      g_assert_cmpuint (page, ==, 1000 + i);
      pv_pager_shared_drop (self);
    }
  g_assert_true (pv_pager_shared_request (self, 5));
  g_assert_cmpuint (self->n_recorded, ==, PV_PAGER_RING + 1);
}

static void
test_what_qemu_has (void)
{
  g_auto(PvFd) fd = PV_FD_NONE;
  g_autoptr(PvPagerShared) self = pv_pager_shared_map (&fd, N_PAGES, NULL);
  const guint8 bits[] = { 0x81, 0x01 };

  pv_pager_shared_set_sent (self, 101);
  pv_pager_shared_set_sent (self, 200);
  pv_pager_shared_load_sent (self, 100, 10, bits);
  g_assert_true (pv_pager_shared_is_sent (self, 100));
  g_assert_false (pv_pager_shared_is_sent (self, 101));
  g_assert_true (pv_pager_shared_is_sent (self, 107));
  g_assert_true (pv_pager_shared_is_sent (self, 108));
  g_assert_true (pv_pager_shared_is_sent (self, 200));
  g_assert_cmpuint (self->n_sent, ==, 4);
}

static void
test_foreign (void)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = PV_FD_NONE;
  g_autoptr(PvPagerShared) self = pv_pager_shared_map (&fd, N_PAGES, NULL);

  g_assert_null (pv_pager_shared_map (&fd, N_PAGES + 1, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_clear_error (&error);
  self->magic++;
  g_assert_null (pv_pager_shared_open (fd, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_clear_error (&error);
  self->magic--;
  g_assert_cmpint (ftruncate (fd, 16), ==, 0);
  g_assert_null (pv_pager_shared_open (fd, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pager-shared/another-goes-on", test_another_goes_on);
  g_test_add_func ("/pager-shared/requests", test_requests);
  g_test_add_func ("/pager-shared/what-qemu-has", test_what_qemu_has);
  g_test_add_func ("/pager-shared/foreign", test_foreign);
  return g_test_run ();
}

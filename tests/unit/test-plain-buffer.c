/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "chunk/frame.h"
#include "store/plain-buffer.h"

/* What was given back comes again, whatever the size asked for. */
static void
test_again (void)
{
  guint8 *first = pv_plain_buffer_take (PV_FRAME_PLAIN_MAX), *second;

  memset (first, 0xa5, PV_FRAME_PLAIN_MAX);
  pv_plain_buffer_give (first, PV_FRAME_PLAIN_MAX);
  second = pv_plain_buffer_take (PV_FRAME_PLAIN_MAX - 4096);
  g_assert_true (second == first);
  pv_plain_buffer_give (second, PV_FRAME_PLAIN_MAX - 4096);
}

static void
test_small (void)
{
  guint8 *none = pv_plain_buffer_take (0), *page = pv_plain_buffer_take (4096);

  g_assert_nonnull (none);
  memset (page, 1, 4096);
  pv_plain_buffer_give (page, 4096);
  pv_plain_buffer_give (none, 0);
  pv_plain_buffer_give (NULL, PV_FRAME_PLAIN_MAX);
}

/* More than are kept. */
static void
test_many (void)
{
  guint8 *buffers[100];

  for (guint i = 0; i < G_N_ELEMENTS (buffers); i++)
    {
      buffers[i] = pv_plain_buffer_take (PV_FRAME_PLAIN_MAX);
      memset (buffers[i], (int) i, PV_FRAME_PLAIN_MAX);
    }
  for (guint i = 0; i < G_N_ELEMENTS (buffers); i++)
    {
      g_assert_cmpuint (buffers[i][0], ==, i);
      g_assert_cmpuint (buffers[i][PV_FRAME_PLAIN_MAX - 1], ==, i);
      pv_plain_buffer_give (buffers[i], PV_FRAME_PLAIN_MAX);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plain-buffer/again", test_again);
  g_test_add_func ("/plain-buffer/small", test_small);
  g_test_add_func ("/plain-buffer/many", test_many);
  return g_test_run ();
}

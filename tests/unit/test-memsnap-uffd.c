/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap-contract.h"

/* Memory that is discarded or unmapped takes the snapshot with it, never quietly. */
static void
test_discarded (void)
{
  gsize size = 64 * PAGE;

  for (guint how = 0; how < 3; how++)
    {
      guint8 *memory = new_memory (ANONYMOUS, size);
      g_autoptr(PvMemsnap) snapshot = NULL;
      g_autofree guint8 *copy = g_malloc (size);
      g_autoptr(GError) error = NULL;

      fill (memory, size, 1);
      snapshot = new_snapshot (PV_MEMSNAP_ENGINE_UFFD, memory, size);
      take (snapshot);
      memset (memory + PAGE, 1, PAGE);
      /* A page that was copied before may go. */
      madvise (memory + PAGE, PAGE, MADV_DONTNEED);
      g_assert_true (pv_memsnap_read (snapshot, 0, 0, copy, size, &error));
      assert_filled (copy, size, 1);
      if (how == 0)
        madvise (memory + 5 * PAGE, 2 * PAGE, MADV_DONTNEED);
      else if (how == 1)
        munmap (memory, size);
      else
        memory = mremap (memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, new_memory (ANONYMOUS, size));
      g_assert_false (pv_memsnap_read (snapshot, 0, 4 * PAGE, copy, 2 * PAGE, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
      g_clear_pointer (&snapshot, pv_memsnap_free);
      if (how != 1)
        {
          memset (memory, 3, size);
          munmap (memory, size);
        }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  memsnap_contract_add (PV_MEMSNAP_ENGINE_UFFD);
  g_test_add_func ("/memsnap/discarded", test_discarded);
  return g_test_run ();
}

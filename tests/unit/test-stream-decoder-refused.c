/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a stream decoder refuses, and in which words. */
#include "config.h"

#include "stream-sample.h"
#include "util/error.h"

static void
test_records (void)
{
  static const struct
  {
    guint64 word;
    int code;
    const char *sentence;
  } cases[] = {
    { PV_RAM_XBZRLE, PV_ERROR_UNSUPPORTED, "xbzrle" },
    { PV_RAM_COMPRESS_PAGE, PV_ERROR_UNSUPPORTED, "compress" },
    { PV_RAM_MULTIFD_FLUSH, PV_ERROR_UNSUPPORTED, "multifd" },
    { PV_RAM_HOOK, PV_ERROR_UNSUPPORTED, "RDMA" },
    { PV_RAM_MEM_SIZE | SAMPLE_PAGE, PV_ERROR_CORRUPT, "twice" },
    { PV_RAM_PAGE | PV_RAM_ZERO, PV_ERROR_CORRUPT, "unknown flags" },
    { 0x800, PV_ERROR_CORRUPT, "unknown flags" },
    { 0, PV_ERROR_CORRUPT, "unknown flags" },
    { PV_RAM_PAGE | PV_RAM_CONTINUE, PV_ERROR_CORRUPT, "no RAM block" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GByteArray) stream = sample_up_to_part ();

      pv_append_be64 (stream, cases[i].word);
      sample_name (stream, "m");
      pv_append_zeros (stream, SAMPLE_PAGE);
      sample_assert_refused (stream, cases[i].code, cases[i].sentence);
    }
}

static void
test_pages (void)
{
  g_autoptr(GByteArray) unlisted = sample_up_to_part (), behind = sample_up_to_part (), filled = sample_up_to_part ();
  g_autoptr(GByteArray) wrap = sample_up_to_part ();

  sample_page (unlisted, "n", 0, 1);
  sample_assert_refused (unlisted, PV_ERROR_CORRUPT, "not listed");
  sample_page (behind, "m", 2 * SAMPLE_PAGE, 1);
  sample_assert_refused (behind, PV_ERROR_CORRUPT, "behind the end");
  sample_page (wrap, "m", 0xfffffffffffff000, 1);
  sample_assert_refused (wrap, PV_ERROR_CORRUPT, "behind the end");
  sample_zero (filled, "m", 0);
  filled->data[filled->len - 1] = 7;
  sample_assert_refused (filled, PV_ERROR_CORRUPT, "filled with 0x07");
}

static void
test_sections (void)
{
  g_autoptr(GByteArray) bitmap = g_byte_array_new (), early = g_byte_array_new (), unknown = g_byte_array_new ();
  g_autoptr(GByteArray) version = g_byte_array_new (), part = g_byte_array_new (), post_copy = g_byte_array_new ();
  g_autoptr(GByteArray) nothing = g_byte_array_new ();

  sample_start (bitmap, SAMPLE_MACHINE);
  pv_append_u8 (bitmap, PV_SECTION_START);
  pv_append_be32 (bitmap, 3);
  sample_name (bitmap, "dirty-bitmap");
  pv_append_be64 (bitmap, 1);
  sample_assert_refused (bitmap, PV_ERROR_UNSUPPORTED, "dirty-bitmap");

  sample_start (early, SAMPLE_MACHINE);
  sample_devices (early, TRUE);
  sample_assert_refused (early, PV_ERROR_UNSUPPORTED, "'timer' is saved before memory");

  sample_start (unknown, SAMPLE_MACHINE);
  pv_append_u8 (unknown, 0x0a);
  sample_assert_refused (unknown, PV_ERROR_CORRUPT, "0x0a");

  pv_append_be32 (version, PV_STREAM_MAGIC);
  pv_append_be32 (version, 2);
  sample_assert_refused (version, PV_ERROR_UNSUPPORTED, "version 2");

  sample_start (part, SAMPLE_MACHINE);
  sample_part (part, PV_SECTION_PART);
  sample_assert_refused (part, PV_ERROR_CORRUPT, "never started");

  sample_start (post_copy, SAMPLE_MACHINE);
  pv_append_u8 (post_copy, PV_SECTION_COMMAND);
  pv_append_be16 (post_copy, 7);
  pv_append_be16 (post_copy, 4);
  sample_assert_refused (post_copy, PV_ERROR_UNSUPPORTED, "command 7");

  sample_start (nothing, SAMPLE_MACHINE);
  pv_append_u8 (nothing, PV_SECTION_EOF);
  sample_assert_refused (nothing, PV_ERROR_CORRUPT, "neither memory nor devices");
}

static void
test_not_a_stream (void)
{
  g_autoptr(GByteArray) text = g_byte_array_new (), nothing = g_byte_array_new ();

  g_byte_array_append (text, (const guint8 *) "This is no stream", 17);
  sample_assert_refused (text, PV_ERROR_CORRUPT, "not a QEMU migration stream");
  sample_assert_refused (nothing, PV_ERROR_CORRUPT, "empty");
}

static void
test_blocks (void)
{
  static const struct
  {
    guint64 total, size;
    const char *name, *sentence;
  } cases[] = {
    { 0, SAMPLE_PAGE, "m", "impossible RAM size" },
    { PV_RAM_TOTAL_MAX + SAMPLE_PAGE, SAMPLE_PAGE, "m", "impossible RAM size" },
    { SAMPLE_PAGE, 2 * SAMPLE_PAGE, "m", "impossible size 8192" },
    { SAMPLE_PAGE, 0, "m", "impossible size 0" },
    { SAMPLE_PAGE, 100, "m", "impossible size 100" },
    { SAMPLE_PAGE, SAMPLE_PAGE, "", "no printable name" },
    { SAMPLE_PAGE, SAMPLE_PAGE, "a\nb", "no printable name" },
  };
  g_autoptr(GByteArray) twice = g_byte_array_new ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GByteArray) stream = g_byte_array_new ();

      sample_start (stream, SAMPLE_MACHINE);
      sample_ram_start (stream, cases[i].total);
      sample_block (stream, cases[i].name, cases[i].size);
      sample_eos (stream);
      sample_assert_refused (stream, PV_ERROR_CORRUPT, cases[i].sentence);
    }
  sample_start (twice, SAMPLE_MACHINE);
  sample_ram_start (twice, 2 * SAMPLE_PAGE);
  sample_block (twice, "m", SAMPLE_PAGE);
  sample_block (twice, "m", SAMPLE_PAGE);
  sample_assert_refused (twice, PV_ERROR_CORRUPT, "comes twice");
}

static void
test_too_many_blocks (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new ();

  sample_start (stream, SAMPLE_MACHINE);
  sample_ram_start (stream, (guint64) (PV_RAM_BLOCKS_MAX + 1) * SAMPLE_PAGE);
  for (guint i = 0; i <= PV_RAM_BLOCKS_MAX; i++)
    {
      g_autofree char *name = g_strdup_printf ("b%u", i);

      sample_block (stream, name, SAMPLE_PAGE);
    }
  sample_assert_refused (stream, PV_ERROR_CORRUPT, "more than 4096 RAM blocks");
}

static void
test_mapped_needs_a_file (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new ();

  sample_start (stream, SAMPLE_MACHINE);
  sample_capabilities (stream, "mapped-ram", NULL);
  sample_assert_refused (stream, PV_ERROR_UNSUPPORTED, "seekable file");
}

static void
test_no_page_at_all (void)
{
  g_autoptr(GByteArray) stream = sample_up_to_part ();

  sample_eos (stream);
  sample_footer (stream);
  sample_devices (stream, TRUE);
  sample_assert_refused (stream, PV_ERROR_CORRUPT, "no page of memory");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stream-decoder-refused/records", test_records);
  g_test_add_func ("/stream-decoder-refused/pages", test_pages);
  g_test_add_func ("/stream-decoder-refused/sections", test_sections);
  g_test_add_func ("/stream-decoder-refused/not-a-stream", test_not_a_stream);
  g_test_add_func ("/stream-decoder-refused/blocks", test_blocks);
  g_test_add_func ("/stream-decoder-refused/too-many-blocks", test_too_many_blocks);
  g_test_add_func ("/stream-decoder-refused/mapped-needs-a-file", test_mapped_needs_a_file);
  g_test_add_func ("/stream-decoder-refused/no-page-at-all", test_no_page_at_all);
  return g_test_run ();
}

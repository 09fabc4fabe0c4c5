/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/capture-options.h"

#include <string.h>

#include "util/error.h"

static void
assert_wrong (const PvCaptureOptions *options, const char *words)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_capture_options_check (options, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  if (strstr (error->message, words) == NULL)
    g_error ("'%s' does not tell '%s'", error->message, words);
}

static void
test_defaults (void)
{
  g_autoptr(GError) error = NULL;
  PvCaptureOptions options;

  pv_capture_options_init (&options);
  g_assert_cmpstr (options.engine, ==, "auto");
  g_assert_cmpuint (options.buffer, ==, PV_CAPTURE_BUFFER_DEFAULT);
  g_assert_cmpint (options.on_overrun, ==, PV_OVERRUN_SPILL);
  g_assert_true (pv_capture_options_check (&options, &error));
  g_assert_no_error (error);
  pv_capture_options_clear (&options);
}

/* A copy has everything, and nothing in common with what it was made of. */
static void
test_copy (void)
{
  g_autoptr(GError) error = NULL;
  PvCaptureOptions options, copy;
  const PvDiskSpec *spec;

  pv_capture_options_init (&options);
  options.name = g_strdup ("name");
  options.description = g_strdup ("words");
  options.overlay_dir = g_strdup ("/dir");
  options.memory_file = g_strdup ("/memory");
  options.on_overrun = PV_OVERRUN_FAIL;
  options.buffer = 5 << 20;
  options.disk_only = options.quiesce = options.keep_overlay = TRUE;
  g_ptr_array_add (options.disks, pv_disk_spec_parse ("vda,file=/dir/a,,b", &error));
  g_ptr_array_add (options.disks, pv_disk_spec_parse ("vdb,snapshot=no", &error));
  g_assert_no_error (error);
  pv_capture_options_copy (&copy, &options);
  pv_capture_options_clear (&options);

  g_assert_cmpstr (copy.name, ==, "name");
  g_assert_cmpstr (copy.description, ==, "words");
  g_assert_cmpstr (copy.engine, ==, "auto");
  g_assert_cmpstr (copy.overlay_dir, ==, "/dir");
  g_assert_cmpstr (copy.memory_file, ==, "/memory");
  g_assert_cmpint (copy.on_overrun, ==, PV_OVERRUN_FAIL);
  g_assert_cmpuint (copy.buffer, ==, 5 << 20);
  g_assert_true (copy.disk_only && copy.quiesce && copy.keep_overlay && !copy.no_disks);
  g_assert_cmpuint (copy.disks->len, ==, 2);
  spec = copy.disks->pdata[0];
  g_assert_cmpstr (spec->target, ==, "vda");
  g_assert_cmpstr (spec->file, ==, "/dir/a,b");
  g_assert_false (spec->exclude);
  spec = copy.disks->pdata[1];
  g_assert_true (spec->exclude);
  g_assert_null (spec->file);
  pv_capture_options_clear (&copy);
}

static void
test_contradictions (void)
{
  PvCaptureOptions options;

  pv_capture_options_init (&options);
  options.no_disks = options.disk_only = TRUE;
  assert_wrong (&options, "leave nothing to take");
  options.disk_only = FALSE;
  options.keep_overlay = TRUE;
  assert_wrong (&options, "--keep-overlay");
  options.keep_overlay = FALSE;
  options.quiesce = TRUE;
  assert_wrong (&options, "--quiesce");
  options.quiesce = FALSE;
  g_ptr_array_add (options.disks, pv_disk_spec_parse ("vda", NULL));
  assert_wrong (&options, "--diskspec");
  options.no_disks = FALSE;
  options.memory_file = g_strdup ("/memory");
  assert_wrong (&options, "--memspec");
  options.keep_overlay = options.disk_only = TRUE;
  assert_wrong (&options, "--memspec");
  pv_capture_options_clear (&options);
}

static void
test_ranges (void)
{
  PvCaptureOptions options;

  pv_capture_options_init (&options);
  options.buffer = PV_CAPTURE_BUFFER_MIN - 1;
  assert_wrong (&options, "--buffer is at least 1.0 MiB");
  options.buffer = PV_CAPTURE_BUFFER_MIN;
  g_assert_true (pv_capture_options_check (&options, NULL));
  options.overlay_dir = g_strdup ("relative");
  assert_wrong (&options, "--overlay-dir");
  g_clear_pointer (&options.overlay_dir, g_free);
  g_free (options.engine);
  options.engine = g_strdup ("steam");
  assert_wrong (&options, "not 'steam'");
  g_clear_pointer (&options.engine, g_free);
  assert_wrong (&options, "--engine");
  options.engine = g_strdup ("direct,auto");
  assert_wrong (&options, "not 'direct,auto'");
  g_free (options.engine);
  options.engine = g_strdup ("direct,qemu");
  g_assert_true (pv_capture_options_check (&options, NULL));
  options.check_tracking = TRUE;
  assert_wrong (&options, "--check-tracking");
  options.check_tracking = FALSE;
  options.track = TRUE;
  g_assert_true (pv_capture_options_check (&options, NULL));
  options.max_pause_ms = 0;
  assert_wrong (&options, "--max-pause");
  options.max_pause_ms = 1;
  g_free (options.engine);
  options.engine = g_strdup ("live");
  assert_wrong (&options, "--track");
  options.track = FALSE;
  options.name = g_strdup ("../x");
  assert_wrong (&options, "name");
  pv_capture_options_clear (&options);
}

static void
test_overrun (void)
{
  static const PvOverrun all[] = { PV_OVERRUN_SPILL, PV_OVERRUN_THROTTLE, PV_OVERRUN_FAIL };
  g_autoptr(GError) error = NULL;
  PvOverrun parsed;

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      g_assert_true (pv_overrun_parse (pv_overrun_to_string (all[i]), &parsed, &error));
      g_assert_cmpint (parsed, ==, all[i]);
    }
  g_assert_false (pv_overrun_parse ("Spill", &parsed, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "not 'Spill'"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/capture-options/defaults", test_defaults);
  g_test_add_func ("/capture-options/copy", test_copy);
  g_test_add_func ("/capture-options/contradictions", test_contradictions);
  g_test_add_func ("/capture-options/ranges", test_ranges);
  g_test_add_func ("/capture-options/overrun", test_overrun);
  return g_test_run ();
}

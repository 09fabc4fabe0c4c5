/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/policy-xml.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>

#include "unit/golden.h"
#include "util/error.h"

static void
ignore (void *data, G_GNUC_UNUSED const char *format, ...)
{
}

/* What the schema that is installed says of @text. */
static gboolean
schema_takes (const char *text)
{
  const char *data = g_getenv ("PAGEVAULT_TEST_DATA");
  g_autofree char *path = g_build_filename (data, "..", "..", "schemas", "policy.rng", NULL);
  xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt (path);
  xmlRelaxNG *schema = xmlRelaxNGParse (parser);
  xmlRelaxNGValidCtxt *validation;
  xmlDoc *document = xmlReadMemory (text, (int) strlen (text), NULL, NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  gboolean taken;

  g_assert_nonnull (schema);
  validation = xmlRelaxNGNewValidCtxt (schema);
  xmlRelaxNGSetValidErrors (validation, ignore, ignore, NULL);
  taken = document != NULL && xmlRelaxNGValidateDoc (validation, document) == 0;
  xmlRelaxNGFreeValidCtxt (validation);
  xmlFreeDoc (document);
  xmlRelaxNGFree (schema);
  xmlRelaxNGFreeParserCtxt (parser);
  return taken;
}

static void
check_good (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPolicy) policy = pv_policy_parse (text, &error);
  g_autoptr(PvPolicy) again = NULL;
  g_autofree char *path = g_strdup_printf ("xml/policy-out/%s.xml", name);
  g_autofree char *normal = NULL, *bare = NULL, *twice = NULL;

  g_assert_no_error (error);
  normal = pv_policy_to_xml (policy, TRUE);
  bare = pv_policy_to_xml (policy, FALSE);
  golden_assert (path, normal);
  g_assert_true (schema_takes (text));
  g_assert_true (schema_takes (normal));
  g_assert_true (schema_takes (bare));
  again = pv_policy_parse (bare, &error);
  g_assert_no_error (error);
  twice = pv_policy_to_xml (again, TRUE);
  g_assert_cmpstr (normal, ==, twice);
}

/* What only a program can tell: whether a zone is known, a document type declared, something there too often. */
static gboolean
is_beyond_schemas (const char *name)
{
  static const char *const names[] = { "zone-invalid", "doctype-invalid", "many-schedules-invalid",
                                       "retention-zero-invalid", "retention-none-invalid", "buffer-zero-invalid",
                                       "buffer-large-invalid", "buffer-no-number-invalid", "disk-twice-invalid",
                                       "every-long-invalid", NULL };

  return g_strv_contains (names, name);
}

static void
check_bad (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_strdup_printf ("xml/policy-out/%s.error", name);
  g_autofree char *message = NULL;

  g_assert_null (pv_policy_parse (text, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  message = g_strconcat (error->message, "\n", NULL);
  golden_assert (path, message);
  g_assert_true (strstr (message, "line ") != NULL);
  if (schema_takes (text) != is_beyond_schemas (name))
    g_test_fail_printf ("%s: the schema is of another opinion", name);
}

static void
test_golden (void)
{
  golden_foreach ("xml/policy-in", check_good, check_bad);
}

static void
assert_retention (const char *text, guint last, guint hourly, guint daily, guint weekly, const char *shown)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *found = NULL;
  PvRetention retention;

  pv_retention_parse (text, &retention, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (retention.last, ==, last);
  g_assert_cmpuint (retention.hourly, ==, hourly);
  g_assert_cmpuint (retention.daily, ==, daily);
  g_assert_cmpuint (retention.weekly, ==, weekly);
  found = pv_retention_to_string (&retention);
  g_assert_cmpstr (found, ==, shown);
}

static void
test_retention (void)
{
  static const char *const refused[] = { "",          "last",     "last=",  "last=x",  "last=-1",
                                         "last=0",    "last=10001", "lst=1", "last=1,", ",last=1",
                                         "last=1 ",   "la=1",     "lastly=1", "last=1;daily=1", "weekly=+1" };
  PvRetention none = { 0 };
  g_autofree char *everything = pv_retention_to_string (&none);

  assert_retention ("last=3", 3, 0, 0, 0, "last=3");
  assert_retention ("weekly=4,hourly=24,last=0,daily=10000", 0, 24, 10000, 4, "hourly=24,daily=10000,weekly=4");
  g_assert_cmpstr (everything, ==, "everything");
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(GError) error = NULL;
      PvRetention retention;

      g_test_message ("'%s'", refused[i]);
      g_assert_false (pv_retention_parse (refused[i], &retention, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
    }
}

static void
test_schedules_in_words (void)
{
  static const struct
  {
    const char *xml, *words;
  } cases[] = {
    { "<policy><schedule every='90min'/></policy>", "every 90min" },
    { "<policy><schedule every='3600s'/></policy>", "every 1h" },
    { "<policy><schedule at='02:05'/></policy>", "at 02:05" },
    { "<policy><schedule at='14:00' days='fri,mon' zone='UTC'/></policy>", "at 14:00 mon,fri UTC" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(PvPolicy) policy = pv_policy_parse (cases[i].xml, &error);
      g_autofree char *words = NULL;

      g_assert_no_error (error);
      words = pv_schedule_to_string (&g_array_index (policy->schedules, PvSchedule, 0));
      g_assert_cmpstr (words, ==, cases[i].words);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy-xml/golden", test_golden);
  g_test_add_func ("/policy-xml/retention", test_retention);
  g_test_add_func ("/policy-xml/schedules-in-words", test_schedules_in_words);
  return g_test_run ();
}

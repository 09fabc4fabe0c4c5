/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/store-xml.h"

#include <string.h>

#include "unit/golden.h"
#include "util/error.h"

static void
check_good (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStoreXml) config = pv_store_xml_parse (text, &error);
  g_autofree char *path = g_strdup_printf ("xml/store-out/%s.facts", name);
  g_autofree char *told = NULL;

  g_assert_no_error (error);
  told = g_strdup_printf ("path %s\npassphrase-file %s\nsecret %s\npool %s\ndisks %s\n",
                          config->path != NULL ? config->path : "-",
                          config->passphrase_file != NULL ? config->passphrase_file : "-",
                          config->secret_uuid != NULL ? config->secret_uuid : "-",
                          config->pool != NULL ? config->pool : "-", config->disks != NULL ? config->disks : "-");
  golden_assert (path, told);
}

static void
check_bad (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_strdup_printf ("xml/store-out/%s.error", name);
  g_autofree char *message = NULL;

  g_assert_null (pv_store_xml_parse (text, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  message = g_strconcat (error->message, "\n", NULL);
  golden_assert (path, message);
}

static void
test_golden (void)
{
  golden_foreach ("xml/store-in", check_good, check_bad);
}

/* What only the schema refuses, in words that are libxml2's; the line is there. */
static void
test_schema (void)
{
  static const char *const refused[]
    = { "<store>\n<path mode='0700'>/srv</path></store>", "<store>\n<pool>/a<b/></pool></store>",
        "<store version='1'>\n</store>", "<store>\ntext</store>" };

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (pv_store_xml_parse (refused[i], &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_true (g_str_has_prefix (error->message, "line "));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/store-xml/golden", test_golden);
  g_test_add_func ("/store-xml/schema", test_schema);
  return g_test_run ();
}

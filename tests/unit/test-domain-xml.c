/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>

#include "unit/golden.h"
#include "util/error.h"
#include "xml/domain-xml.h"

#define UUID "11111111-2222-3333-4444-555555555555"

/* --- golden files: tests/data/xml/in/NAME.xml -> out/NAME.{facts,stripped.xml,clone.xml} --- */

static void
tell_disks (GString *out, PvDomainXml *xml)
{
  GPtrArray *disks = pv_domain_xml_disks (xml);

  for (guint i = 0; i < disks->len; i++)
    {
      PvDomainDisk *disk = disks->pdata[i];

      g_string_append_printf (out, "disk %s: %s %s kind=%d %s path=%s%s%s%s snapshot=%s\n", disk->target, disk->device,
                              disk->source_type, disk->kind, disk->format, disk->path != NULL ? disk->path : "-",
                              disk->readonly ? " readonly" : "", disk->shareable ? " shareable" : "",
                              disk->transient ? " transient" : "", disk->snapshot != NULL ? disk->snapshot : "-");
      for (guint layer = 0; layer < disk->backing->len; layer++)
        g_string_append_printf (out, "  over %s\n", (char *) disk->backing->pdata[layer]);
      if (disk->mirror != NULL)
        g_string_append_printf (out, "  mirrored to %s\n", disk->mirror);
      if (disk->obstacle != NULL)
        g_string_append_printf (out, "  obstacle: %s\n", disk->obstacle);
    }
}

static char *
facts (PvDomainXml *xml)
{
  GString *out = g_string_new (NULL);
  g_autoptr(GPtrArray) sentences = pv_domain_xml_untrackable (xml);
  g_autofree char *cookie = pv_domain_xml_save_cookie (xml);

  g_string_append_printf (
      out, "name %s\nuuid %s\nmachine %s\nemulator %s\nmemory %" G_GUINT64_FORMAT "\nvcpus %u\nnvram %s (%s)\n%s%s",
      pv_domain_xml_name (xml), pv_domain_xml_uuid (xml) != NULL ? pv_domain_xml_uuid (xml) : "-",
      pv_domain_xml_machine (xml) != NULL ? pv_domain_xml_machine (xml) : "-",
      pv_domain_xml_emulator (xml) != NULL ? pv_domain_xml_emulator (xml) : "-", pv_domain_xml_memory (xml),
      pv_domain_xml_vcpus (xml), pv_domain_xml_nvram (xml) != NULL ? pv_domain_xml_nvram (xml) : "-",
      pv_domain_xml_nvram_format (xml), pv_domain_xml_shared_memory (xml) ? "shared memory\n" : "",
      pv_domain_xml_hugepages (xml) ? "huge pages\n" : "");
  tell_disks (out, xml);
  for (guint i = 0; i < sentences->len; i++)
    g_string_append_printf (out, "untrackable: %s\n", (char *) sentences->pdata[i]);
  if (cookie != NULL)
    g_string_append (out, cookie);
  return g_string_free (out, FALSE);
}

static void
assert_reads_back (PvDomainXml *xml)
{
  g_autofree char *text = pv_domain_xml_to_string (xml);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) again = pv_domain_xml_parse (text, &error);
  g_autofree char *text_again = NULL;
  g_autofree char *facts_before = facts (xml);
  g_autofree char *facts_after = NULL;

  g_assert_no_error (error);
  text_again = pv_domain_xml_to_string (again);
  g_assert_cmpstr (text_again, ==, text);
  facts_after = facts (again);
  g_assert_cmpstr (facts_after, ==, facts_before);
}

static void G_GNUC_PRINTF (2, 3)
be_silent (void *data, const char *format, ...)
{
}

/* TRUE when libvirt's own schema takes @text; without the schema everything is fine. */
static gboolean
schema_takes (const char *text)
{
  static xmlRelaxNG *schema;
  static gboolean loaded;
  xmlRelaxNGValidCtxt *validation;
  xmlDoc *document;
  gboolean taken;

  if (!loaded && g_file_test ("/usr/share/libvirt/schemas/domain.rng", G_FILE_TEST_EXISTS))
    {
      xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt ("/usr/share/libvirt/schemas/domain.rng");

      schema = xmlRelaxNGParse (parser);
      xmlRelaxNGFreeParserCtxt (parser);
      g_assert_nonnull (schema);
    }
  loaded = TRUE;
  if (schema == NULL)
    return TRUE;
  document = xmlReadMemory (text, (int) strlen (text), NULL, NULL, XML_PARSE_NONET);
  validation = xmlRelaxNGNewValidCtxt (schema);
  xmlRelaxNGSetValidErrors (validation, be_silent, be_silent, NULL);
  taken = xmlRelaxNGValidateDoc (validation, document) == 0;
  xmlRelaxNGFreeValidCtxt (validation);
  xmlFreeDoc (document);
  return taken;
}

static void
compare (PvDomainXml *xml, const char *name, const char *suffix, gboolean must_be_valid)
{
  g_autofree char *path = g_strdup_printf ("xml/out/%s.%s.xml", name, suffix);
  g_autofree char *text = pv_domain_xml_to_string (xml);

  golden_assert (path, text);
  assert_reads_back (xml);
  if (must_be_valid && !schema_takes (text))
    g_test_fail_printf ("%s was valid for libvirt's schema, and is not any more", path);
}

static void
check_valid (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) xml = pv_domain_xml_parse (text, &error);
  g_autoptr(PvDomainXml) clone = NULL;
  g_autofree char *path = g_strdup_printf ("xml/out/%s.facts", name);
  g_autofree char *told = NULL;
  gboolean valid = schema_takes (text);
  GPtrArray *targets = g_ptr_array_new_with_free_func (g_free);

  g_assert_no_error (error);
  told = facts (xml);
  golden_assert (path, told);
  assert_reads_back (xml);

  pv_domain_xml_strip_runtime (xml);
  compare (xml, name, "stripped", valid);

  clone = pv_domain_xml_copy (xml);
  pv_domain_xml_set_name (clone, "clone of <'\"&ü\">");
  pv_domain_xml_set_uuid (clone, UUID);
  for (guint i = 0; i < pv_domain_xml_disks (clone)->len; i++)
    g_ptr_array_add (targets, g_strdup (((PvDomainDisk *) pv_domain_xml_disks (clone)->pdata[i])->target));
  for (guint i = 0; i < targets->len; i++)
    {
      g_autofree char *file = g_strdup_printf ("/new/a&b<%s>", (char *) targets->pdata[i]);

      g_assert_true (pv_domain_xml_set_disk (clone, targets->pdata[i], file, i % 2 == 0 ? "qcow2" : "raw", &error));
      g_assert_no_error (error);
    }
  pv_domain_xml_set_nvram (clone, "/new/nvram & more", NULL);
  compare (clone, name, "clone", valid);
  g_ptr_array_unref (targets);
}

static void
check_invalid (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) xml = pv_domain_xml_parse (text, &error);
  g_autofree char *path = g_strdup_printf ("xml/out/%s.error", name);
  g_autofree char *message = NULL;

  g_assert_null (xml);
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_assert_null (strchr (error->message, '\n'));
  if (g_str_has_prefix (name, "syntax-"))
    return; /* told in libxml2's words, which change between its versions */
  message = g_strconcat (error->message, "\n", NULL);
  golden_assert (path, message);
}

static void
test_golden (void)
{
  golden_foreach ("xml/in", check_valid, check_invalid);
}

/* --- one by one --- */

static PvDomainXml *
parse (const char *text)
{
  g_autoptr(GError) error = NULL;
  PvDomainXml *xml = pv_domain_xml_parse (text, &error);

  g_assert_no_error (error);
  return xml;
}

static void
test_too_large (void)
{
  g_autofree char *filling = g_strnfill (17u << 20, 'x');
  g_autofree char *text = g_strdup_printf ("<domain><name>x</name><description>%s</description></domain>", filling);
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_domain_xml_parse (text, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

static void
test_too_deep (void)
{
  g_autoptr(GString) text = g_string_new ("<domain><name>x</name>");
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 100000; i++)
    g_string_append (text, "<a>");
  g_assert_null (pv_domain_xml_parse (text->str, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

static void
test_line_number (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_domain_xml_parse ("<domain>\n<name>x</name>\n<devices>\n\n<disk/></devices></domain>", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "line 5:"));
}

static void
test_unknown_disk (void)
{
  g_autoptr(PvDomainXml) xml = parse ("<domain><name>x</name></domain>");
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_domain_xml_set_disk (xml, "vda", "/x", "raw", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (pv_domain_xml_set_nvram (xml, "/x", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_null (pv_domain_xml_find_disk (xml, "vda"));
}

static void
test_find_disk (void)
{
  g_autoptr(PvDomainXml) xml = parse ("<domain><name>x</name><devices><disk type='file'><source file='/a'/><target "
                                       "dev='vda'/></disk>"
                                       "<disk type='block'><source dev='/dev/b'/><target "
                                       "dev='vdb'/></disk></devices></domain>");

  g_assert_cmpstr (pv_domain_xml_find_disk (xml, "vdb")->path, ==, "/dev/b");
  g_assert_cmpstr (pv_domain_xml_find_disk (xml, "/a")->target, ==, "vda");
  g_assert_null (pv_domain_xml_find_disk (xml, "vd"));
}

static void
test_uuid (void)
{
  g_autoptr(PvDomainXml) xml = parse ("<domain><name>x</name><uuid>" UUID "</uuid><sysinfo type='smbios'><system>"
                                       "<entry name='uuid'>" UUID "</entry><entry "
                                                                  "name='sku'>1</entry></system></sysinfo></domain>");
  g_autofree char *text = NULL;

  pv_domain_xml_set_uuid (xml, NULL);
  g_assert_null (pv_domain_xml_uuid (xml));
  text = pv_domain_xml_to_string (xml);
  g_assert_cmpstr (text, ==,
                   "<domain><name>x</name><sysinfo type=\"smbios\"><system><entry "
                   "name=\"sku\">1</entry></system></sysinfo>"
                   "</domain>\n");
  pv_domain_xml_set_uuid (xml, UUID);
  g_assert_cmpstr (pv_domain_xml_uuid (xml), ==, UUID);
}

static void
test_copy_disk_source (void)
{
  g_autoptr(PvDomainXml) from = parse ("<domain><name>x</name><devices><disk type='block'><driver name='qemu' "
                                        "type='raw'/>"
                                        "<source dev='/dev/b' index='3'/><target "
                                        "dev='vda'/></disk></devices></domain>");
  g_autoptr(PvDomainXml) to = parse ("<domain><name>x</name><devices><disk type='file'><driver name='qemu' "
                                      "type='qcow2' cache='none'/>"
                                      "<source file='/overlay'/><target dev='vda'/></disk></devices></domain>");
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_true (pv_domain_xml_copy_disk_source (to, "vda", from, &error));
  g_assert_no_error (error);
  text = pv_domain_xml_to_string (to);
  g_assert_cmpstr (text, ==,
                   "<domain><name>x</name><devices><disk type=\"block\"><driver name=\"qemu\" type=\"raw\" "
                   "cache=\"none\"/>"
                   "<source dev=\"/dev/b\"/><target dev=\"vda\"/></disk></devices></domain>\n");
  g_assert_false (pv_domain_xml_copy_disk_source (to, "vdb", from, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static char *
mac_of (PvDomainXml *xml, guint index)
{
  g_autofree char *text = pv_domain_xml_to_string (xml);
  g_auto(GStrv) parts = g_strsplit (text, "mac address=\"", -1);

  g_assert_cmpuint (g_strv_length (parts), >, index + 1);
  return g_strndup (parts[index + 1], 17);
}

static void
test_renew_macs (void)
{
  g_autoptr(PvDomainXml) xml = parse ("<domain><name>x</name><devices><interface><mac "
                                       "address='52:54:00:00:00:01'/></interface>"
                                       "<interface/><interface><mac "
                                       "address='0A:1B:2C:00:00:02'/></interface></devices></domain>");
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;

  pv_domain_xml_renew_macs (xml);
  first = mac_of (xml, 0);
  second = mac_of (xml, 1);
  g_assert_true (g_str_has_prefix (first, "52:54:00:"));
  g_assert_true (g_str_has_prefix (second, "0A:1B:2C:"));
  g_assert_cmpstr (first, !=, "52:54:00:00:00:01");
  g_assert_cmpstr (second, !=, "0A:1B:2C:00:00:02");
}

/* Only a channel of that name in that state is an agent. */
static void
test_agent (void)
{
  static const char *const targets[] = {
    "<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>",
    "<target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/>",
    "<target type='virtio' name='org.qemu.guest_agent.0'/>",
    "<target type='virtio' name='com.redhat.spice.0' state='connected'/>",
  };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autofree char *text = g_strdup_printf ("<domain><name>x</name><devices><channel type='spicevmc'/>"
                                               "<channel type='unix'>%s</channel></devices></domain>",
                                               targets[i]);
      g_autoptr(PvDomainXml) xml = parse (text);

      g_assert_cmpint (pv_domain_xml_agent_connected (xml), ==, i == 0);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/domain-xml/golden", test_golden);
  g_test_add_func ("/domain-xml/too-large", test_too_large);
  g_test_add_func ("/domain-xml/too-deep", test_too_deep);
  g_test_add_func ("/domain-xml/line-number", test_line_number);
  g_test_add_func ("/domain-xml/unknown-disk", test_unknown_disk);
  g_test_add_func ("/domain-xml/find-disk", test_find_disk);
  g_test_add_func ("/domain-xml/uuid", test_uuid);
  g_test_add_func ("/domain-xml/copy-disk-source", test_copy_disk_source);
  g_test_add_func ("/domain-xml/renew-macs", test_renew_macs);
  g_test_add_func ("/domain-xml/agent", test_agent);
  return g_test_run ();
}

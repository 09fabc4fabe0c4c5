/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>

#include "unit/golden.h"
#include "util/error.h"
#include "xml/snapshot-schema.h"
#include "xml/snapshot-xml.h"

#define SCHEMA "/usr/share/libvirt/schemas/domainsnapshot.rng"

/* --- what users ask for --- */

static char *
tell (PvSnapshotRequest *request)
{
  GString *out = g_string_new (NULL);

  g_string_append_printf (out, "name %s\ndescription %s\n%s", request->name != NULL ? request->name : "-",
                          request->description != NULL ? request->description : "-",
                          request->disk_only ? "disk only\n" : "");
  for (guint i = 0; i < request->disks->len; i++)
    {
      PvDiskSpec *spec = request->disks->pdata[i];

      g_string_append_printf (out, "disk %s%s file=%s\n", spec->target, spec->exclude ? " excluded" : "",
                              spec->file != NULL ? spec->file : "-");
    }
  return g_string_free (out, FALSE);
}

static void
check_request (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvSnapshotRequest) request = pv_snapshot_request_parse (text, &error);
  g_autofree char *path = g_strdup_printf ("xml/snapshot-out/%s.facts", name);
  g_autofree char *told = NULL;

  g_assert_no_error (error);
  pv_snapshot_schema_check (text, &error);
  g_assert_no_error (error);
  told = tell (request);
  golden_assert (path, told);
}

static void
check_invalid_request (const char *name, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_strdup_printf ("xml/snapshot-out/%s.error", name);
  g_autofree char *message = NULL;

  g_assert_null (pv_snapshot_request_parse (text, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  message = g_strconcat (error->message, "\n", NULL);
  golden_assert (path, message);
}

static void
test_requests (void)
{
  golden_foreach ("xml/snapshot-in", check_request, check_invalid_request);
}

/* What would mean nothing is refused all the same, in words of libxml2, with the line. */
static void
test_misspelt (void)
{
  static const char *const refused[] = {
    "<domainsnapshot>\n<nmae>a</nmae></domainsnapshot>",
    "<domainsnapshot>\n<disks><disc name='vda' snapshot='no'/></disks></domainsnapshot>",
    "<domainsnapshot>\n<disks><disk name='vda' snapshoot='no'/></disks></domainsnapshot>",
    "<domainsnapshot>\n<memory mode='no'/></domainsnapshot>",
  };

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (pv_snapshot_schema_check (refused[i], &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_true (g_str_has_prefix (error->message, "snapshot description: line "));
    }
}

static void
assert_spec (const char *text, const char *target, gboolean exclude, const char *file)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDiskSpec) spec = pv_disk_spec_parse (text, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (spec->target, ==, target);
  g_assert_cmpint (spec->exclude, ==, exclude);
  g_assert_cmpstr (spec->file, ==, file);
}

static void
test_disk_specs (void)
{
  static const char *const refused[] = {
    "",
    ",snapshot=no",
    "vda,",
    "vda,,snapshot=no,x",
    "snapshot=no",
    "vda,snapshot=internal",
    "vda,snapshot=manual",
    "vda,snapshot=",
    "vda,driver=raw",
    "vda,driver=",
    "vda,stype=block",
    "vda,file=",
    "vda,file=relative",
    "vda,file=/a,b",
    "vda,snapshot=no,file=/a",
    "vda,Snapshot=no",
    "vda, snapshot=no",
  };

  assert_spec ("vda", "vda", FALSE, NULL);
  assert_spec ("vda,snapshot=no", "vda", TRUE, NULL);
  assert_spec ("vdb,snapshot=external,driver=qcow2,stype=file,file=/a/b c", "vdb", FALSE, "/a/b c");
  assert_spec ("sda,file=/a,,b,,,,c", "sda", FALSE, "/a,b,,c");
  assert_spec ("sda,file=/first,file=/second", "sda", FALSE, "/second");
  assert_spec ("/srv/a,,b.raw,snapshot=no", "/srv/a,b.raw", TRUE, NULL);
  assert_spec ("Käse,file=/ü", "Käse", FALSE, "/ü");
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(GError) error = NULL;

      g_test_message ("'%s'", refused[i]);
      g_assert_null (pv_disk_spec_parse (refused[i], &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, refused[i]));
    }
}

static void
test_memory_specs (void)
{
  static const struct
  {
    const char *text, *file;
  } taken[] = {
    { "/a", "/a" },
    { "file=/a,,b", "/a,b" },
    { "snapshot=external,file=/a b", "/a b" },
    { "/a,snapshot=external", "/a" },
    { "snapshot=no", NULL },
  };
  static const char *const refused[] = {
    "",         "file=",                "relative",       "file=/a,file=/b",
    "/a,/b",    "/a,snapshot=no",       "snapshot=internal", "snapshot=external",
    "/a,format=raw",
  };

  for (guint i = 0; i < G_N_ELEMENTS (taken); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autofree char *file = NULL;

      g_assert_true (pv_memory_spec_parse (taken[i].text, &file, &error));
      g_assert_no_error (error);
      g_assert_cmpstr (file, ==, taken[i].file);
    }
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autofree char *file = NULL;

      g_assert_false (pv_memory_spec_parse (refused[i], &file, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, refused[i]));
      g_assert_null (file);
    }
}

/* --- what we give to libvirt --- */

static void
assert_schema_takes (const char *text)
{
  xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt (SCHEMA);
  xmlRelaxNG *schema = xmlRelaxNGParse (parser);
  xmlRelaxNGValidCtxt *validation;
  xmlDoc *document = xmlReadMemory (text, (int) strlen (text), NULL, NULL, XML_PARSE_NONET);

  g_assert_nonnull (schema);
  validation = xmlRelaxNGNewValidCtxt (schema);
  g_assert_cmpint (xmlRelaxNGValidateDoc (validation, document), ==, 0);
  xmlRelaxNGFreeValidCtxt (validation);
  xmlFreeDoc (document);
  xmlRelaxNGFree (schema);
  xmlRelaxNGFreeParserCtxt (parser);
}

static void
compare (const char *path, const char *text)
{
  golden_assert (path, text);
  if (g_file_test (SCHEMA, G_FILE_TEST_EXISTS))
    assert_schema_takes (text);
  else
    g_test_message ("libvirt's schema is not installed: not validated");
}

static const PvOverlay overlays[] = {
  { "vda", "/srv/a & b/<vda>.overlay" },
  { "vdb", NULL },
  { "sda", "/srv/Käse's \"new\".overlay" },
};

static void
test_disks (void)
{
  g_autofree char *xml = pv_snapshot_xml_disks ("a & <b>", overlays, G_N_ELEMENTS (overlays));

  compare ("xml/snapshot-out/disks.xml", xml);
}

static PvDomainXml *
read_domain (const char *path)
{
  g_autofree char *full = g_build_filename (g_getenv ("PAGEVAULT_TEST_DATA"), path, NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  PvDomainXml *xml;

  g_file_get_contents (full, &text, NULL, &error);
  g_assert_no_error (error);
  xml = pv_domain_xml_parse (text, &error);
  g_assert_no_error (error);
  return xml;
}

static void
test_redefine (void)
{
  g_autoptr(PvDomainXml) live = read_domain ("xml/in/pc-live.xml");
  g_autoptr(PvDomainXml) inactive = read_domain ("xml/out/pc-live.stripped.xml");
  g_autofree char *full =
      pv_snapshot_xml_redefine ("after & <before>", "two\nlines & <more>", 1700000000, "running", "par<ent",
                                "/srv/mem & ory", overlays, G_N_ELEMENTS (overlays), live, inactive);
  g_autofree char *small =
      pv_snapshot_xml_redefine ("s", NULL, 0, "disk-snapshot", NULL, NULL, overlays, 1, live, NULL);

  compare ("xml/snapshot-out/redefine.xml", full);
  compare ("xml/snapshot-out/redefine-disks.xml", small);
}

static void
test_redefine_keeps_namespace (void)
{
  g_autoptr(PvDomainXml) live = read_domain ("xml/in/incoming.xml");
  g_autofree char *xml = pv_snapshot_xml_redefine ("s", NULL, 0, "running", NULL, "/m", NULL, 0, live, live);

  compare ("xml/snapshot-out/redefine-namespace.xml", xml);
}

static void
test_libvirt_requests (void)
{
  static const char *const refused[] = {
    "<domainsnapshot><name>a</name></domainsnapshot>",
    "<domainsnapshot><memory snapshot='no'/></domainsnapshot>",
    "<domainsnapshot><memory file='relative'/></domainsnapshot>",
    "<domainsnapshot><memory snapshot='internal' file='/m'/></domainsnapshot>",
    "<domainsnapshot><memory file='/m' more='x'/></domainsnapshot>",
    "<domainsnapshot><memory file='/m'/><cookie/></domainsnapshot>",
    "<domainsnapshot><memory file='/m'/><disks><disk name='vda'><driver type='raw'/></disk></disks></domainsnapshot>",
    "<domainsnapshot><memory file='/m'/><disks><disk name='vda' snapshot='manual'/></disks></domainsnapshot>",
    "<domainsnapshot><memory file='/m'/><disks><disk name='a'><source><x/></source></disk></disks></domainsnapshot>",
    "<domain/>",
  };
  g_autoptr(GError) error = NULL;
  g_autoptr(PvSnapshotRequest) request = pv_snapshot_request_parse_libvirt (
      "<domainsnapshot><name>a</name><description>b</description><memory file='/m'/><disks>"
      "<disk name='vda' snapshot='external' type='file'><driver type='qcow2'/><source file='/o'/></disk>"
      "<disk name='vdb' snapshot='no'/></disks></domainsnapshot>",
      &error);

  g_assert_no_error (error);
  g_assert_cmpstr (request->memory_file, ==, "/m");
  g_assert_cmpstr (request->name, ==, "a");
  g_assert_cmpuint (request->disks->len, ==, 2);
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(GError) local = NULL;

      g_assert_null (pv_snapshot_request_parse_libvirt (refused[i], &local));
      g_assert_nonnull (local);
    }
}

static void
test_has_memory (void)
{
  gint64 time;

  g_assert_true (pv_snapshot_xml_has_memory ("<domainsnapshot><creationTime>12</creationTime>"
                                             "<memory snapshot='external' file='/m'/></domainsnapshot>",
                                             &time));
  g_assert_cmpint (time, ==, 12);
  g_assert_false (pv_snapshot_xml_has_memory ("<domainsnapshot><creationTime>12</creationTime>"
                                              "<memory snapshot='internal'/></domainsnapshot>",
                                              &time));
  g_assert_false (pv_snapshot_xml_has_memory ("no xml", &time));
}

static void
test_replace_overlays (void)
{
  const PvOverlay now[] = { { "vdb", "/b" }, { "vda", "/new" } };
  const char *xml = "<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='/old'/></disk>"
                    "<disk name='vdc' snapshot='no'/></disks><domain><disk name='vda'/></domain></domainsnapshot>";
  g_autoptr(GError) error = NULL;
  g_autofree char *replaced = pv_snapshot_xml_replace_overlays (xml, now, 2, &error);

  g_assert_no_error (error);
  g_assert_nonnull (strstr (replaced, "file=\"/new\""));
  g_assert_null (strstr (replaced, "/old"));
  g_assert_null (pv_snapshot_xml_replace_overlays (xml, now, 1, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/snapshot-xml/requests", test_requests);
  g_test_add_func ("/snapshot-xml/libvirt-requests", test_libvirt_requests);
  g_test_add_func ("/snapshot-xml/has-memory", test_has_memory);
  g_test_add_func ("/snapshot-xml/replace-overlays", test_replace_overlays);
  g_test_add_func ("/snapshot-xml/misspelt", test_misspelt);
  g_test_add_func ("/snapshot-xml/disk-specs", test_disk_specs);
  g_test_add_func ("/snapshot-xml/memory-specs", test_memory_specs);
  g_test_add_func ("/snapshot-xml/disks", test_disks);
  g_test_add_func ("/snapshot-xml/redefine", test_redefine);
  g_test_add_func ("/snapshot-xml/redefine-keeps-namespace", test_redefine_keeps_namespace);
  return g_test_run ();
}

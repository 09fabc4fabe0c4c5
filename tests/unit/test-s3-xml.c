/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/s3-xml.h"

#include <string.h>

#include "util/error.h"

static void
test_error (void)
{
  static const char *const text =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region "
      "is &apos;wrong&apos;\n\033[31m</Message><Region>eu-west-1</Region><Nested><Code>Other</Code></Nested></Error>";
  PvS3Error error;

  pv_s3_error_parse (text, strlen (text), &error);
  g_assert_cmpstr (error.code, ==, "AuthorizationHeaderMalformed");
  g_assert_cmpstr (error.message, ==, "the region is 'wrong'??[31m");
  g_assert_cmpstr (error.region, ==, "eu-west-1");
}

static void
test_no_error (void)
{
  static const char *const texts[] = { "", "<html><body>502</body></html>", "<Error><Code>X</Code>", "Error", "<",
                                       "<Error><Code>X</Code></Error><Error/>" };
  PvS3Error error;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      memset (&error, 'x', sizeof error);
      pv_s3_error_parse (texts[i], strlen (texts[i]), &error);
      g_assert_cmpstr (error.code, ==, "");
      g_assert_cmpstr (error.message, ==, "");
    }
}

static void
test_objects (void)
{
  static const char *const text =
      "<?xml version='1.0'?><s3:ListBucketResult xmlns:s3=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
      "<Prefix>p/</Prefix><IsTruncated>true</IsTruncated><Contents><Key>p/a&amp;b</Key><LastModified>"
      "2026-11-21T16:00:00.000Z</LastModified><ETag>&#34;x&#34;</ETag><Size>17</Size><Owner><ID>Key</ID><Key>no</Key>"
      "</Owner></Contents><Contents><Size>0</Size><Key>p/c</Key></Contents></s3:ListBucketResult>";
  g_autoptr(GError) error = NULL;
  g_autoptr(PvS3Page) page = pv_s3_page_parse (text, strlen (text), &error);
  const PvS3Item *item;

  g_assert_no_error (error);
  g_assert_true (page->truncated);
  g_assert_cmpuint (page->items->len, ==, 2);
  item = g_ptr_array_index (page->items, 0);
  g_assert_cmpstr (item->key, ==, "p/a&b");
  g_assert_cmpuint (item->size, ==, 17);
  g_assert_cmpint (item->mtime, ==, 1795276800);
  item = g_ptr_array_index (page->items, 1);
  g_assert_cmpstr (item->key, ==, "p/c");
}

static void
test_uploads (void)
{
  static const char *const text =
      "<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>2~x</NextUploadIdMarker>"
      "<IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>2~abc</UploadId>"
      "<Initiated>2026-11-21T16:00:00Z</Initiated></Upload></ListMultipartUploadsResult>";
  static const char *const begun = "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
                                   "<UploadId>2~abc</UploadId></InitiateMultipartUploadResult>";
  static const char *const no_id = "<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>";
  g_autoptr(GError) error = NULL, missing = NULL;
  g_autoptr(PvS3Page) page = pv_s3_page_parse (text, strlen (text), &error);
  g_autofree char *id = pv_s3_upload_id_parse (begun, strlen (begun), &error);
  const PvS3Item *item;

  g_assert_no_error (error);
  g_assert_false (page->truncated);
  item = g_ptr_array_index (page->items, 0);
  g_assert_cmpstr (item->upload_id, ==, "2~abc");
  g_assert_cmpint (item->mtime, ==, 1795276800);
  g_assert_cmpstr (id, ==, "2~abc");
  g_assert_null (pv_s3_upload_id_parse (no_id, strlen (no_id), &missing));
  g_assert_error (missing, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_hostile (void)
{
  static const char *const texts[] = {
    "",
    "no XML",
    "<ListBucketResult>",
    "<Error><Code>NoSuchKey</Code></Error>",
    "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key></Key></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>k</Key><Size>99999999999999999999</Size></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>k</Key><LastModified>soon</LastModified></Contents></ListBucketResult>",
    "<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>",
    "<!DOCTYPE x [<!ENTITY a \"aa\">]><ListBucketResult><Contents><Key>&a;</Key></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>\377</Key></Contents></ListBucketResult>",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (pv_s3_page_parse (texts[i], strlen (texts[i]), &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

/* (transfer full): @before, @n times @each, @after. */
static char *
repeated (const char *before, const char *each, guint n, const char *after)
{
  GString *text = g_string_new (before);

  for (guint i = 0; i < n; i++)
    g_string_append (text, each);
  g_string_append (text, after);
  return g_string_free (text, FALSE);
}

static gboolean
is_page (const char *text)
{
  g_autoptr(PvS3Page) page = pv_s3_page_parse (text, strlen (text), NULL);

  return page != NULL;
}

static void
test_caps (void)
{
  const char *item = "<Contents><Key>k</Key></Contents>";
  g_autofree char *full = repeated ("<ListBucketResult>", item, PV_S3_PAGE_ITEMS, "</ListBucketResult>");
  g_autofree char *fuller = repeated ("<ListBucketResult>", item, PV_S3_PAGE_ITEMS + 1, "</ListBucketResult>");
  g_autofree char *deep = repeated ("<ListBucketResult>", "<a>", 100000, "");
  const char *before = "<ListBucketResult><Contents><Key>", *after = "</Key></Contents></ListBucketResult>";
  g_autofree char *longest = repeated (before, "k", 4096, after), *longer = repeated (before, "k", 4097, after);
  g_autofree char *large =
      repeated ("<ListBucketResult>", "<x>0123456789</x>", PV_S3_ANSWER_MAX / 16, "</ListBucketResult>");

  g_assert_true (is_page (full));
  g_assert_false (is_page (fuller));
  g_assert_false (is_page (deep));
  g_assert_true (is_page (longest));
  g_assert_false (is_page (longer));
  g_assert_false (is_page (large));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/s3-xml/error", test_error);
  g_test_add_func ("/s3-xml/no-error", test_no_error);
  g_test_add_func ("/s3-xml/objects", test_objects);
  g_test_add_func ("/s3-xml/uploads", test_uploads);
  g_test_add_func ("/s3-xml/hostile", test_hostile);
  g_test_add_func ("/s3-xml/caps", test_caps);
  return g_test_run ();
}

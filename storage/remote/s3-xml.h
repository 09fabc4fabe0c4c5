/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The XML that S3 servers answer with: errors, listings, upload ids. Foreign bytes: an answer that is too large, too
 * deep or not what it should be gives PV_ERROR_CORRUPT, after work in proportion to its size.
 *
 * The elements are those of Amazon's "S3 API Reference" (ListObjectsV2, ListMultipartUploads, CreateMultipartUpload,
 * CompleteMultipartUpload, "Error responses"). Namespaces and elements not named here are passed over.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_S3_ERROR_MAX (64u << 10)  /* bytes of an error answer that are read */
#define PV_S3_ANSWER_MAX (8u << 20)  /* bytes of any other answer: 1000 keys of 1 KiB with what is told of each */
#define PV_S3_PAGE_ITEMS 1000u       /* items that are asked for, and the most that one page may have */

/* What went wrong, as the server says it: printable, short, and free of credentials. Fields are "" when not said. */
typedef struct
{
  char code[64];     /* like "NoSuchKey" */
  char message[256];
  char region[64];   /* the one that would be right */
} PvS3Error;

/* Never fails: an answer that is not an <Error> document leaves @out empty. */
void pv_s3_error_parse (const char *text, gsize size, PvS3Error *out);

typedef struct
{
  char *key;        /* with the prefix of the remote (owned) */
  char *upload_id;  /* of an upload; else NULL (owned) (nullable) */
  guint64 size;     /* bytes; 0 for an upload */
  gint64 mtime;     /* seconds since 1970: last change of an object, begin of an upload */
} PvS3Item;

/* One page of objects or of uploads. */
typedef struct
{
  GPtrArray *items;        /* of PvS3Item (owned) */
  gboolean truncated;      /* more pages follow */
} PvS3Page;

/* (transfer full): a <ListBucketResult> or a <ListMultipartUploadsResult>. */
PvS3Page *pv_s3_page_parse (const char *text, gsize size, GError **error);
void pv_s3_page_free (PvS3Page *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvS3Page, pv_s3_page_free)

/* (transfer full): the UploadId of an <InitiateMultipartUploadResult>. */
char *pv_s3_upload_id_parse (const char *text, gsize size, GError **error);

G_END_DECLS

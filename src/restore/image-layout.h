/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How an imported memory image was laid out, so that its very bytes can be given back (docs/format-import.md).
 *
 * Pages of an image lie behind record headers, nowhere near a multiple of 4 KiB. They are stored as RAM volumes,
 * where they are shared with everything else; what is left of the file, its residue, is stored as a blob, and so is
 * the layout: runs that say "so many residue bytes, then a page" over and over.
 */
#pragma once

#include <glib.h>

#include "util/cursor.h"

G_BEGIN_DECLS

#define PV_BLOB_IMAGE "image"                 /* the whole file */
#define PV_BLOB_IMAGE_RESIDUE "image-residue" /* all but the pages */
#define PV_BLOB_IMAGE_LAYOUT "image-layout"   /* of PvImageRun */
#define PV_BLOB_IMAGE_PAGES "image-pages"     /* pages that a later copy of the same page replaced */

#define PV_IMAGE_RUN_SIZE 24u                 /* bytes of a serialized run */
#define PV_IMAGE_RESIDUE_MAX (1u << 30)       /* bytes before one page */

typedef enum
{
  PV_IMAGE_SOURCE_RAM = 0,   /* pages from the RAM block */
  PV_IMAGE_SOURCE_PAGES = 1, /* pages from PV_BLOB_IMAGE_PAGES, where .offset points */
  PV_IMAGE_SOURCE_NONE = 2,  /* no page: .residue bytes only; the last run */
  PV_IMAGE_SOURCE_ZERO = 3,  /* while recording only: the pages were zeroed here */
} PvImageSource;

/* Repeated .count times: .residue bytes of the residue, then one page. */
typedef struct
{
  guint32 residue; /* bytes before each page, <= PV_IMAGE_RESIDUE_MAX */
  guint32 count;   /* pages, >= 1; 0 with PV_IMAGE_SOURCE_NONE */
  guint64 offset;  /* bytes into the source of the first page; the others follow */
  guint16 block;   /* index of the RAM block in setup order; 0 unless from RAM */
  guint16 source;  /* PvImageSource */
} PvImageRun;

void pv_image_run_append (const PvImageRun *run, GByteArray *out);
/* PV_ERROR_CORRUPT for a run that cannot be. */
gboolean pv_image_run_read (PvImageRun *run, PvCursor *cursor, GError **error);
/* TRUE when one run can say both; then @run is prolonged by @next. */
gboolean pv_image_run_merge (PvImageRun *run, const PvImageRun *next, guint page_size);

G_END_DECLS

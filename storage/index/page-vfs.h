/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page VFS: SQLite's own file layer with a checksum in every page of the database.
 *
 * SQLite does not notice a flipped bit in the middle of a page. Behind this layer the last PV_PAGE_RESERVED bytes
 * of each page (reserved through SQLITE_FCNTL_RESERVE_BYTES when the database is made) hold XXH3-64 of the rest,
 * mixed with the page's number, so that a damaged or misplaced page is refused wherever it is read
 * (SQLITE_IOERR_DATA, which becomes PV_ERROR_CORRUPT). A page of nothing but zeros is one that was never written
 * and is let through. The WAL has checksums of SQLite's own. Every write, sync and truncation of database and WAL
 * passes a fault point: index.write, index.sync, index.truncate.
 */
#pragma once

#include <glib.h>
#include <sqlite3.h>

G_BEGIN_DECLS

#define PV_PAGE_SIZE 4096u   /* bytes of a database page */
#define PV_PAGE_RESERVED 8u  /* bytes at its end that hold the checksum */
#define PV_PAGE_VFS "pagevault"

/* Makes the layer known to SQLite under PV_PAGE_VFS; again and again is fine. Any thread. */
void pv_page_vfs_register (void);

/* Reads every page of the database file behind @file (SQLITE_FCNTL_FILE_POINTER), free ones too; sets @page to the
 * number (from 1) of the first damaged one, 0 when there is none. FALSE when the file cannot be read. */
gboolean pv_page_vfs_scan (sqlite3_file *file, guint64 *page);

G_END_DECLS

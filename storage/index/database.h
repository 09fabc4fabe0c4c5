/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDatabase: one SQLite connection, with the errors, statements and transactions that the index needs.
 *
 * A connection belongs to one thread at a time (PvIndex keeps a pool of them). Statements are prepared once and
 * found again by their text. A query is a scope:
 *
 *   g_auto(PvQuery) query = PV_QUERY_INIT;
 *   if (!pv_query_prepare (&query, database, "SELECT size FROM pack WHERE number = ?1", error)) return FALSE;
 *   pv_query_bind_int (&query, 1, number);
 *   if (!pv_query_row (&query, &found, error)) return FALSE;
 *
 * Binding errors are remembered and come out of the next step.
 */
#pragma once

#include <glib.h>
#include <sqlite3.h>

#include "chunk/name.h"

G_BEGIN_DECLS

typedef struct _PvDatabase PvDatabase;

/* Opens the index database at @path. PV_ERROR_NOT_FOUND when there is none; CORRUPT when it is something else;
 * UNSUPPORTED when a newer version made it. */
PvDatabase *pv_database_open (const char *path, GError **error);
/* Makes a new, empty one at @path, whole or not at all, mode 0600. PV_ERROR_EXISTS when something is there. */
gboolean pv_database_create (const char *path, GError **error);
void pv_database_free (PvDatabase *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDatabase, pv_database_free)

/* Sets @error from the last failure, "index: " and SQLite's text. Always FALSE. */
gboolean pv_database_throw (PvDatabase *self, int rc, GError **error);
/* Runs @sql, which gives no rows. */
gboolean pv_database_exec (PvDatabase *self, const char *sql, GError **error);
/* Rows changed by the last statement. */
gint64 pv_database_changes (PvDatabase *self);
gint64 pv_database_last_id (PvDatabase *self);
/* The database's file layer, for pv_page_vfs_scan(). */
sqlite3_file *pv_database_file (PvDatabase *self);

typedef struct
{
  PvDatabase *database;    /* (not owned) */
  sqlite3_stmt *statement; /* (not owned): the database keeps it */
  int rc;                  /* of binding */
} PvQuery;
#define PV_QUERY_INIT { NULL, NULL, 0 }
void pv_query_clear (PvQuery *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvQuery, pv_query_clear)

/* @sql must be a string literal (it is kept). */
gboolean pv_query_prepare (PvQuery *self, PvDatabase *database, const char *sql, GError **error);
void pv_query_bind_int (PvQuery *self, int index, gint64 value); /* index from 1 */
void pv_query_bind_text (PvQuery *self, int index, const char *value);
/* The bytes must stay until the query is cleared. */
void pv_query_bind_blob (PvQuery *self, int index, gconstpointer data, gsize size);
void pv_query_bind_name (PvQuery *self, int index, const PvName *name);
/* The next row: @found FALSE when there is none any more. */
gboolean pv_query_row (PvQuery *self, gboolean *found, GError **error);
/* Runs to the end; there are no rows. May be bound and run again. */
gboolean pv_query_run (PvQuery *self, GError **error);
/* Makes the query ready for other values. */
void pv_query_reset (PvQuery *self);

gint64 pv_query_int (PvQuery *self, int column); /* column from 0 */
/* An integer that must be in 0 to @max: else PV_ERROR_CORRUPT naming @what. */
gboolean pv_query_uint (PvQuery *self, int column, guint64 max, const char *what, guint64 *value, GError **error);
const char *pv_query_text (PvQuery *self, int column); /* (nullable); until the next step */
gconstpointer pv_query_blob (PvQuery *self, int column, gsize *size); /* likewise */
/* A name of exactly PV_NAME_SIZE bytes, or PV_ERROR_CORRUPT. */
gboolean pv_query_name (PvQuery *self, int column, PvName *name, GError **error);

/* A transaction that is rolled back when its scope ends before the commit. */
typedef struct
{
  PvDatabase *database; /* (not owned), NULL = none open */
} PvTransaction;
#define PV_TRANSACTION_INIT { NULL }
void pv_transaction_clear (PvTransaction *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvTransaction, pv_transaction_clear)

typedef enum
{
  PV_TRANSACTION_READ,    /* one state of the database for all reads in it */
  PV_TRANSACTION_WRITE,   /* the only writer; commit makes it durable together with the next DURABLE one */
  PV_TRANSACTION_DURABLE, /* the only writer; commit returns once it is on disk */
} PvTransactionKind;

gboolean pv_transaction_begin (PvTransaction *self, PvDatabase *database, PvTransactionKind kind, GError **error);
gboolean pv_transaction_commit (PvTransaction *self, GError **error);

G_END_DECLS

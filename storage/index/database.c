/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/database.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "index/page-vfs.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define APPLICATION_ID 0x50566978 /* "PVix" */
#define FORMAT_VERSION 1
#define BUSY_TRIES (120 * 1000) /* of a millisecond each; no transaction of ours takes a second */

/* docs/format-index.md describes the tables. */
static const char schema[] =
  "CREATE TABLE state (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, epoch INTEGER NOT NULL,"
  " dead_entries INTEGER NOT NULL, filter BLOB NOT NULL, filter_waste INTEGER NOT NULL) STRICT;"
  "CREATE TABLE writer (id INTEGER PRIMARY KEY AUTOINCREMENT, lock_path TEXT NOT NULL, epoch INTEGER NOT NULL) STRICT;"
  "CREATE TABLE pack (number INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL, size INTEGER NOT NULL,"
  " n_objects INTEGER NOT NULL, state INTEGER NOT NULL, epoch INTEGER NOT NULL, writer INTEGER) STRICT;"
  "CREATE INDEX pack_name ON pack (name);"
  "CREATE TABLE segment (id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, n_entries INTEGER NOT NULL,"
  " n_buckets INTEGER NOT NULL, filled INTEGER NOT NULL, target INTEGER, writer INTEGER) STRICT;"
  "CREATE TABLE bucket (id INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;"
  "CREATE TABLE snapshot (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, domain TEXT NOT NULL,"
  " name TEXT NOT NULL, time INTEGER NOT NULL, stored_size INTEGER NOT NULL, object BLOB NOT NULL,"
  " UNIQUE (domain, name)) STRICT;"
  "INSERT INTO state VALUES (1, 1, 1, 0, x'', 0);";

struct _PvDatabase
{
  sqlite3 *sqlite;        /* (owned) */
  char *path;             /* (owned) */
  GHashTable *statements; /* (element-type utf8 sqlite3_stmt) SQL literal -> prepared statement; owned */
  gboolean durable;       /* PRAGMA synchronous is FULL, not NORMAL */
};

static PvError
code_from_sqlite (sqlite3 *sqlite, int rc)
{
  switch (rc & 0xff)
    {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return PV_ERROR_BUSY;
    case SQLITE_FULL:
      return PV_ERROR_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return PV_ERROR_CORRUPT;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return PV_ERROR_DENIED;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (rc == SQLITE_IOERR_DATA || rc == SQLITE_IOERR_CORRUPTFS)
        return PV_ERROR_CORRUPT;
      if (sqlite != NULL && (sqlite3_system_errno (sqlite) == ENOSPC || sqlite3_system_errno (sqlite) == EDQUOT))
        return PV_ERROR_NO_SPACE;
      if (sqlite != NULL && (sqlite3_system_errno (sqlite) == EACCES || sqlite3_system_errno (sqlite) == EPERM))
        return PV_ERROR_DENIED;
      return PV_ERROR_FAILED;
    default:
      return PV_ERROR_FAILED;
    }
}

gboolean
pv_database_throw (PvDatabase *self, int rc, GError **error)
{
  PvError code = code_from_sqlite (self->sqlite, rc);
  const char *text = sqlite3_errmsg (self->sqlite);

  if ((rc & 0xff) == SQLITE_NOMEM)
    g_error ("index '%s': out of memory", self->path);
  if (rc == SQLITE_IOERR_DATA)
    text = "a page has a wrong checksum";
  return pv_throw (error, code, "index '%s': %s (%d)%s", self->path, text, rc,
                   code == PV_ERROR_CORRUPT ? "; rebuild it with 'pagevault verify --rebuild-index'" : "");
}

gboolean
pv_database_exec (PvDatabase *self, const char *sql, GError **error)
{
  int rc = sqlite3_exec (self->sqlite, sql, NULL, NULL, NULL);

  return rc == SQLITE_OK || pv_database_throw (self, rc, error);
}

gint64
pv_database_changes (PvDatabase *self)
{
  return sqlite3_changes64 (self->sqlite);
}

gint64
pv_database_last_id (PvDatabase *self)
{
  return sqlite3_last_insert_rowid (self->sqlite);
}

sqlite3_file *
pv_database_file (PvDatabase *self)
{
  sqlite3_file *file = NULL;

  sqlite3_file_control (self->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  return file;
}

static void
finalize_statement (gpointer data)
{
  sqlite3_finalize (data);
}

void
pv_database_free (PvDatabase *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->statements);
  sqlite3_close (self->sqlite);
  g_free (self->path);
  g_free (self);
}

/* SQLite's own waiting grows to 100 ms a turn and would hardly ever meet the gaps between the short transactions of
 * a merge. */
static int
wait_for_others (void *data, int n_tries)
{
  if (n_tries >= BUSY_TRIES)
    return 0;
  g_usleep (1000);
  return 1;
}

static PvDatabase *
database_new (const char *path, GError **error)
{
  g_autoptr(PvDatabase) self = g_new0 (PvDatabase, 1);
  int rc;

  pv_page_vfs_register ();
  self->path = g_canonicalize_filename (path, NULL);
  self->statements = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, finalize_statement);
  rc = sqlite3_open_v2 (self->path, &self->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        PV_PAGE_VFS);
  if (rc != SQLITE_OK)
    {
      pv_database_throw (self, rc, error);
      return NULL;
    }
  sqlite3_busy_handler (self->sqlite, wait_for_others, NULL);
  sqlite3_db_config (self->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config (self->sqlite, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  return g_steal_pointer (&self);
}

static gboolean
database_make (const char *path, GError **error)
{
  g_autoptr(PvDatabase) self = database_new (path, error);
  g_autofree char *setup = NULL;
  int reserved = (int) PV_PAGE_RESERVED;
  int rc;

  if (self == NULL)
    return FALSE;
  rc = sqlite3_file_control (self->sqlite, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  if (rc != SQLITE_OK)
    return pv_database_throw (self, rc, error);
  setup = g_strdup_printf ("PRAGMA page_size = %u; PRAGMA synchronous = FULL; BEGIN; PRAGMA application_id = %d;"
                           "PRAGMA user_version = %d; %s COMMIT; PRAGMA journal_mode = WAL;",
                           PV_PAGE_SIZE, APPLICATION_ID, FORMAT_VERSION, schema);
  return pv_database_exec (self, setup, error);
}

gboolean
pv_database_create (const char *path, GError **error)
{
  g_autofree char *temporary = g_strdup_printf ("%s.new.XXXXXX", path);
  g_autofree char *directory = g_path_get_dirname (path);
  g_auto(PvFd) fd = g_mkstemp_full (temporary, O_RDWR | O_CLOEXEC, 0600);
  gboolean ok;

  if (fd < 0)
    return pv_throw_errno (error, errno, "cannot create a file in '%s'", directory);
  pv_fd_clear (&fd); /* before SQLite opens it: closing a file drops the process's locks on it */
  ok = database_make (temporary, error) && pv_fault ("index.create", error);
  if (ok && link (temporary, path) < 0)
    ok = pv_throw_errno (error, errno, "cannot create '%s'", path);
  unlink (temporary);
  return ok && pv_fsync_dir (directory, error);
}

/* Says whether this is an index of ours, and of which version. */
static gboolean
check_identity (PvDatabase *self, GError **error)
{
  gint64 values[3] = { 0, 0, 0 };
  static const char *const pragmas[] = { "PRAGMA application_id", "PRAGMA user_version", "PRAGMA page_size" };

  for (guint i = 0; i < G_N_ELEMENTS (pragmas); i++)
    {
      g_auto(PvQuery) query = PV_QUERY_INIT;
      gboolean found;

      if (!pv_query_prepare (&query, self, pragmas[i], error) || !pv_query_row (&query, &found, error))
        return FALSE;
      values[i] = pv_query_int (&query, 0);
    }
  if (values[0] != APPLICATION_ID || values[1] < 1 || values[2] != PV_PAGE_SIZE)
    return pv_corrupt (error, "'%s' is not an index; rebuild it with 'pagevault verify --rebuild-index'", self->path);
  if (values[1] > FORMAT_VERSION)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "index '%s' was made by a newer pagevault (version %" G_GINT64_FORMAT
                     ")", self->path, values[1]);
  return TRUE;
}

PvDatabase *
pv_database_open (const char *path, GError **error)
{
  g_autoptr(PvDatabase) self = NULL;

  if (access (path, F_OK) < 0 && errno == ENOENT)
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "there is no index '%s'", path);
      return NULL;
    }
  self = database_new (path, error);
  /* secure_delete would write zeros over every freed page; the WAL keeps at most 64 MiB once it is written back. */
  if (self == NULL || !check_identity (self, error)
      || !pv_database_exec (self, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF;"
                                  "PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                                  "PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;"
                                  "PRAGMA cell_size_check = ON", error))
    return NULL;
  self->durable = TRUE;
  return g_steal_pointer (&self);
}

/* --- queries ------------------------------------------------------------------------------------------------------ */

gboolean
pv_query_prepare (PvQuery *self, PvDatabase *database, const char *sql, GError **error)
{
  self->database = database;
  self->rc = SQLITE_OK;
  self->statement = g_hash_table_lookup (database->statements, sql);
  if (self->statement == NULL)
    {
      int rc = sqlite3_prepare_v3 (database->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &self->statement, NULL);

      if (rc != SQLITE_OK)
        return pv_database_throw (database, rc, error);
      g_hash_table_insert (database->statements, (gpointer) sql, self->statement);
    }
  return TRUE;
}

void
pv_query_reset (PvQuery *self)
{
  sqlite3_reset (self->statement);
}

void
pv_query_clear (PvQuery *self)
{
  if (self->statement == NULL)
    return;
  sqlite3_reset (self->statement);
  sqlite3_clear_bindings (self->statement);
  self->statement = NULL;
}

static void
note_binding (PvQuery *self, int rc)
{
  if (self->rc == SQLITE_OK)
    self->rc = rc;
}

void
pv_query_bind_int (PvQuery *self, int index, gint64 value)
{
  note_binding (self, sqlite3_bind_int64 (self->statement, index, value));
}

void
pv_query_bind_text (PvQuery *self, int index, const char *value)
{
  note_binding (self, sqlite3_bind_text (self->statement, index, value, -1, SQLITE_TRANSIENT));
}

void
pv_query_bind_blob (PvQuery *self, int index, gconstpointer data, gsize size)
{
  note_binding (self, sqlite3_bind_blob64 (self->statement, index, size > 0 ? data : "", size, SQLITE_STATIC));
}

void
pv_query_bind_name (PvQuery *self, int index, const PvName *name)
{
  note_binding (self, sqlite3_bind_blob64 (self->statement, index, name->bytes, PV_NAME_SIZE, SQLITE_TRANSIENT));
}

gboolean
pv_query_row (PvQuery *self, gboolean *found, GError **error)
{
  int rc = self->rc != SQLITE_OK ? self->rc : sqlite3_step (self->statement);

  *found = rc == SQLITE_ROW;
  return rc == SQLITE_ROW || rc == SQLITE_DONE || pv_database_throw (self->database, rc, error);
}

gboolean
pv_query_run (PvQuery *self, GError **error)
{
  gboolean found;

  if (!pv_fault ("index.step", error) || !pv_query_row (self, &found, error))
    return FALSE;
  g_assert (!found);
  sqlite3_reset (self->statement);
  return TRUE;
}

gint64
pv_query_int (PvQuery *self, int column)
{
  return sqlite3_column_int64 (self->statement, column);
}

gboolean
pv_query_uint (PvQuery *self, int column, guint64 max, const char *what, guint64 *value, GError **error)
{
  gint64 number = sqlite3_column_int64 (self->statement, column);

  if (sqlite3_column_type (self->statement, column) != SQLITE_INTEGER || number < 0 || (guint64) number > max)
    return pv_corrupt (error, "index '%s': %s is out of range", self->database->path, what);
  *value = (guint64) number;
  return TRUE;
}

const char *
pv_query_text (PvQuery *self, int column)
{
  return (const char *) sqlite3_column_text (self->statement, column);
}

gconstpointer
pv_query_blob (PvQuery *self, int column, gsize *size)
{
  gconstpointer data = sqlite3_column_blob (self->statement, column);

  *size = (gsize) sqlite3_column_bytes (self->statement, column);
  return data;
}

gboolean
pv_query_name (PvQuery *self, int column, PvName *name, GError **error)
{
  gsize size;
  gconstpointer data = pv_query_blob (self, column, &size);

  if (size != PV_NAME_SIZE)
    return pv_corrupt (error, "index '%s': a name of %" G_GSIZE_FORMAT " bytes", self->database->path, size);
  memcpy (name->bytes, data, PV_NAME_SIZE);
  return TRUE;
}

/* --- transactions ------------------------------------------------------------------------------------------------- */

void
pv_transaction_clear (PvTransaction *self)
{
  if (self->database != NULL && !sqlite3_get_autocommit (self->database->sqlite))
    {
      g_auto(PvQuery) query = PV_QUERY_INIT;
      gboolean found;

      if (!pv_query_prepare (&query, self->database, "ROLLBACK", NULL) || !pv_query_row (&query, &found, NULL))
        g_debug ("index: a transaction could not be rolled back");
    }
  self->database = NULL;
}

gboolean
pv_transaction_begin (PvTransaction *self, PvDatabase *database, PvTransactionKind kind, GError **error)
{
  gboolean durable = kind == PV_TRANSACTION_DURABLE;
  gboolean found;
  g_auto(PvQuery) query = PV_QUERY_INIT;

  g_assert (self->database == NULL);
  if (kind != PV_TRANSACTION_READ)
    {
      if (!pv_fault ("index.begin", error))
        return FALSE;
      if (durable != database->durable
          && !pv_database_exec (database, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", error))
        return FALSE;
      database->durable = durable;
    }
  if (!pv_query_prepare (&query, database, kind == PV_TRANSACTION_READ ? "BEGIN" : "BEGIN IMMEDIATE", error)
      || !pv_query_row (&query, &found, error))
    return FALSE;
  self->database = database;
  return TRUE;
}

gboolean
pv_transaction_commit (PvTransaction *self, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  g_autoptr(GError) after = NULL;
  gboolean found;

  g_assert (self->database != NULL);
  if (!pv_fault ("index.commit.before", error) || !pv_query_prepare (&query, self->database, "COMMIT", error)
      || !pv_query_row (&query, &found, error))
    return FALSE;
  self->database = NULL;
  if (!pv_fault ("index.commit.after", &after)) /* a place to be killed at: nothing can fail any more */
    g_clear_error (&after);
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "index/index-private.h"
#include "util/error.h"
#include "util/file.h"

/* FALSE only when it is certain that nobody holds the lock. */
static gboolean
lock_is_held (PvIndex *self, const char *lock_path)
{
  g_autofree char *path = g_canonicalize_filename (lock_path, self->directory);
  g_auto(PvFd) fd = TEMP_FAILURE_RETRY (open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));

  if (fd < 0)
    return errno != ENOENT && errno != ENOTDIR;
  return TEMP_FAILURE_RETRY (flock (fd, LOCK_EX | LOCK_NB)) < 0;
}

static gboolean
run_for_writer (PvDatabase *database, const char *sql, guint64 id, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, sql, error))
    return FALSE;
  pv_query_bind_int (&query, 1, (gint64) id);
  return pv_query_run (&query, error);
}

gboolean
pv_index_drop_writer (PvDatabase *database, guint64 id, GError **error)
{
  return run_for_writer (database, "UPDATE state SET filter_waste = filter_waste + coalesce ((SELECT sum (n_entries)"
                                   " FROM segment WHERE writer = ?1), 0) WHERE id = 1", id, error)
         && run_for_writer (database, "UPDATE segment SET state = 2, filled = 0, target = NULL, writer = NULL"
                                      " WHERE writer = ?1", id, error)
         && run_for_writer (database, "DELETE FROM pack WHERE writer = ?1", id, error)
         && run_for_writer (database, "DELETE FROM writer WHERE id = ?1", id, error);
}

/* Ids of the registered writers whose lock nobody holds. @alive: (out): whether one below @epoch is held. */
static GArray *
find_dead (PvIndex *self, PvDatabase *database, guint64 epoch, gboolean *alive, GError **error)
{
  g_autoptr(GArray) dead = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_auto(PvQuery) query = PV_QUERY_INIT;

  *alive = FALSE;
  if (!pv_query_prepare (&query, database, "SELECT id, epoch, lock_path FROM writer ORDER BY id", error))
    return NULL;
  for (;;)
    {
      guint64 id, began;
      const char *path;
      gboolean found;

      if (!pv_query_row (&query, &found, error))
        return NULL;
      if (!found)
        return g_steal_pointer (&dead);
      path = pv_query_text (&query, 2);
      if (!pv_query_uint (&query, 0, G_MAXINT64, "a writer's number", &id, error)
          || !pv_query_uint (&query, 1, G_MAXINT64, "a writer's epoch", &began, error))
        return NULL;
      if (path == NULL || !lock_is_held (self, path))
        g_array_append_val (dead, id);
      else if (began < epoch)
        *alive = TRUE;
    }
}

gboolean
pv_index_reap_older (PvIndex *self, PvDatabase *database, guint64 epoch, gboolean *alive, GError **error)
{
  g_autoptr(GArray) dead = find_dead (self, database, epoch, alive, error);

  if (dead == NULL)
    return FALSE;
  for (guint i = 0; i < dead->len; i++)
    if (!pv_index_drop_writer (database, g_array_index (dead, guint64, i), error))
      return FALSE;
  return TRUE;
}

gboolean
pv_index_reap (PvIndex *self, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_autoptr(GArray) dead = NULL;
  gboolean alive;

  if (!pv_index_use (&use, self, error))
    return FALSE;
  dead = find_dead (self, use.database, 0, &alive, error); /* nearly always there is none: no write then */
  if (dead == NULL)
    return FALSE;
  if (dead->len == 0)
    return TRUE;
  return pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error)
         && pv_index_reap_older (self, use.database, 0, &alive, error) && pv_transaction_commit (&transaction, error);
}

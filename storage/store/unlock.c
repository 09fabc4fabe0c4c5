/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/unlock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

enum
{
  KEYS_MAX = 32, /* handed over: they fit into a pipe */
  UUID_SIZE = 37, /* with its NUL */
  RECORD_SIZE = UUID_SIZE + PV_STORE_KEY_SIZE,
};

static GMutex lock;
static GHashTable *keys; /* UUID -> PvStoreKey; under lock */
static PvUnlockFunc unlock_func;
static gpointer unlock_data;
static gboolean unlock_expected;

void
pv_unlock_set_func (PvUnlockFunc func, gpointer data, gboolean expected)
{
  unlock_func = func;
  unlock_data = data;
  unlock_expected = expected;
}

gboolean
pv_unlock_is_expected (void)
{
  return unlock_expected;
}

void
pv_unlock_remember (const char *uuid, PvStoreKey *key)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);

  if (keys == NULL)
    keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) pv_store_key_unref);
  g_hash_table_replace (keys, g_strdup (uuid), pv_store_key_ref (key));
}

static PvStoreKey *
find (const char *uuid)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);
  PvStoreKey *key = keys != NULL ? g_hash_table_lookup (keys, uuid) : NULL;

  return key != NULL ? pv_store_key_ref (key) : NULL;
}

PvStoreKey *
pv_unlock (const char *directory, const PvStoreFormat *format, GError **error)
{
  g_autoptr(PvStoreKey) key = NULL;
  g_autoptr(GError) why = NULL;

  if (format->n_key_slots == 0)
    {
      /* Who can write to the disk could put a plain store there and wait for what is stored in it. */
      if (unlock_expected)
        pv_throw (error, PV_ERROR_INVALID,
                  "the store in '%s' is not encrypted, but a pass phrase or secret was given for it", directory);
      return NULL;
    }
  key = find (format->uuid);
  if (key == NULL && unlock_func == NULL)
    pv_throw (error, PV_ERROR_DENIED, "the store in '%s' is encrypted, and its key is not there", directory);
  if (key != NULL || unlock_func == NULL)
    return g_steal_pointer (&key);
  key = unlock_func (directory, format, unlock_data, &why);
  if (key != NULL)
    pv_unlock_remember (format->uuid, key);
  else
    {
      if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND)) /* a file, a secret: not the store */
        why->code = PV_ERROR_DENIED;
      g_propagate_error (error, g_steal_pointer (&why));
    }
  return g_steal_pointer (&key);
}

/* --- from process to process -------------------------------------------------------------------------------------- */

/* What is in a pipe is in the kernel's memory, which is never swapped, and goes when it is read, or nobody has it
 * open. */
int
pv_unlock_hand_over (GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);
  g_auto(PvFd) reading = PV_FD_NONE;
  g_auto(PvFd) writing = PV_FD_NONE;
  guint8 *record;
  gboolean ok = TRUE;
  GHashTableIter iter;
  gpointer uuid, key;
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    {
      pv_throw_errno (error, errno, "cannot make a pipe");
      return PV_FD_NONE;
    }
  reading = ends[0];
  writing = ends[1];
  if (keys == NULL)
    return pv_fd_steal (&reading);
  if (g_hash_table_size (keys) > KEYS_MAX)
    {
      pv_throw (error, PV_ERROR_FAILED, "too many keys to hand over");
      return PV_FD_NONE;
    }
  record = pv_secret_new (RECORD_SIZE);
  g_hash_table_iter_init (&iter, keys);
  while (ok && g_hash_table_iter_next (&iter, &uuid, &key))
    {
      memset (record, 0, RECORD_SIZE);
      memcpy (record, uuid, MIN (strlen (uuid), UUID_SIZE - 1));
      memcpy (record + UUID_SIZE, pv_store_key_bytes (key), PV_STORE_KEY_SIZE);
      ok = pv_write_all (writing, record, RECORD_SIZE, "the pipe", error);
    }
  pv_secret_free (record, RECORD_SIZE);
  return ok ? pv_fd_steal (&reading) : PV_FD_NONE;
}

gboolean
pv_unlock_receive (int fd, GError **error)
{
  g_auto(PvFd) reading = fd;
  guint8 *record = pv_secret_new (RECORD_SIZE);
  gssize n;

  while ((n = pv_read_full (reading, record, RECORD_SIZE, "the key", error)) == RECORD_SIZE)
    {
      g_autoptr(PvStoreKey) key = pv_store_key_new (record + UUID_SIZE);

      record[UUID_SIZE - 1] = '\0';
      pv_unlock_remember ((const char *) record, key);
    }
  pv_secret_free (record, RECORD_SIZE);
  if (n > 0)
    return pv_corrupt (error, "the key that was handed over is cut short");
  return n == 0;
}

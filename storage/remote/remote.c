/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/remote-private.h"

#include <string.h>

#include "util/error.h"
#include "util/fault.h"

gboolean
pv_remote_key_is_valid (const char *key)
{
  gboolean begins = TRUE; /* of a component */
  gsize n;

  for (n = 0; key[n] != '\0'; n++)
    {
      if (n >= PV_REMOTE_KEY_MAX)
        return FALSE;
      if (begins ? !g_ascii_isalnum (key[n]) && strchr ("_-", key[n]) == NULL
                 : !g_ascii_isalnum (key[n]) && strchr ("._-/", key[n]) == NULL)
        return FALSE;
      begins = key[n] == '/';
    }
  return n > 0 && !begins;
}

/* What a valid key can begin with. */
static gboolean
prefix_is_valid (const char *prefix)
{
  gsize n = strlen (prefix);
  g_autofree char *key = n < PV_REMOTE_KEY_MAX ? g_strconcat (prefix, "x", NULL) : g_strdup (prefix);

  return n == 0 || pv_remote_key_is_valid (key);
}

gboolean
pv_remote_go_on (GCancellable *cancellable, GError **error)
{
  if (g_cancellable_is_cancelled (cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "cancelled");
  return TRUE;
}

PvRemote *
pv_remote_open (const char *url, const PvRemoteOptions *options, GError **error)
{
  static const PvRemoteOptions defaults = { 0 };
  g_autoptr(PvRateLimit) limit = NULL;
  PvRemote *self = NULL;

  g_return_val_if_fail (url != NULL, NULL);
  if (options == NULL)
    options = &defaults;
  limit = pv_rate_limit_new (options->limit_rate);
  if (g_str_has_prefix (url, "file://"))
    self = pv_remote_file_open (url + strlen ("file://"), error);
  else if (g_str_has_prefix (url, "s3://"))
    self = pv_remote_s3_open (url + strlen ("s3://"), options, limit, error);
  else
    pv_throw (error, PV_ERROR_UNSUPPORTED, "a remote cannot be at that URL: give s3://BUCKET[/PREFIX] or file:///DIR");
  if (self == NULL)
    return NULL;
  g_atomic_ref_count_init (&self->refs);
  self->limit = g_steal_pointer (&limit);
  return self;
}

PvRemote *
pv_remote_ref (PvRemote *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
pv_remote_unref (PvRemote *self)
{
  PvRateLimit *limit;

  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  limit = self->limit;
  g_free (self->url);
  self->ops->free (self);
  pv_rate_limit_free (limit);
}

const char *
pv_remote_url (const PvRemote *self)
{
  return self->url;
}

/* Before each request, which may be several to the server. */
static gboolean
begin (GCancellable *cancellable, GError **error)
{
  return pv_remote_go_on (cancellable, error) && pv_fault ("remote.request", error);
}

gboolean
pv_remote_put (PvRemote *self, const char *key, GBytes *bytes, PvRemotePutFlags flags, GCancellable *cancellable,
               GError **error)
{
  g_return_val_if_fail (pv_remote_key_is_valid (key), FALSE);
  g_return_val_if_fail (g_bytes_get_size (bytes) <= PV_REMOTE_PUT_MAX, FALSE);
  return begin (cancellable, error) && self->ops->put (self, key, bytes, flags, cancellable, error);
}

gboolean
pv_remote_put_file (PvRemote *self, const char *key, int fd, guint64 size, GCancellable *cancellable,
                    PvRemoteProgress progress, gpointer data, GError **error)
{
  g_return_val_if_fail (pv_remote_key_is_valid (key), FALSE);
  g_return_val_if_fail (size <= PV_REMOTE_FILE_MAX, FALSE);
  return begin (cancellable, error)
         && self->ops->put_file (self, key, fd, size, cancellable, progress, data, error);
}

GBytes *
pv_remote_get (PvRemote *self, const char *key, guint64 offset, gsize length, GCancellable *cancellable,
               GError **error)
{
  g_return_val_if_fail (pv_remote_key_is_valid (key), NULL);
  g_return_val_if_fail (length > 0 && length <= G_MAXSSIZE, NULL);
  g_return_val_if_fail (offset <= (guint64) G_MAXINT64 - length, NULL);
  return begin (cancellable, error) ? self->ops->get (self, key, offset, length, cancellable, error) : NULL;
}

GBytes *
pv_remote_get_all (PvRemote *self, const char *key, gsize max_size, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (pv_remote_key_is_valid (key), NULL);
  return begin (cancellable, error) ? self->ops->get_all (self, key, max_size, cancellable, error) : NULL;
}

gboolean
pv_remote_get_file (PvRemote *self, const char *key, int fd, guint64 size, GCancellable *cancellable,
                    PvRemoteProgress progress, gpointer data, GError **error)
{
  g_return_val_if_fail (pv_remote_key_is_valid (key), FALSE);
  return begin (cancellable, error)
         && self->ops->get_file (self, key, fd, size, cancellable, progress, data, error);
}

gboolean
pv_remote_stat (PvRemote *self, const char *key, guint64 *size, GCancellable *cancellable, GError **error)
{
  guint64 unwanted;

  g_return_val_if_fail (pv_remote_key_is_valid (key), FALSE);
  return begin (cancellable, error)
         && self->ops->stat (self, key, size != NULL ? size : &unwanted, cancellable, error);
}

gboolean
pv_remote_delete (PvRemote *self, const char *key, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (pv_remote_key_is_valid (key), FALSE);
  return begin (cancellable, error) && self->ops->delete (self, key, cancellable, error);
}

gboolean
pv_remote_list (PvRemote *self, const char *prefix, const char *after, PvRemoteVisit visit, gpointer data,
                GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (prefix_is_valid (prefix), FALSE);
  g_return_val_if_fail (after == NULL || pv_remote_key_is_valid (after), FALSE);
  return begin (cancellable, error)
         && self->ops->list (self, prefix, after, visit, data, cancellable, error);
}

gboolean
pv_remote_sweep (PvRemote *self, guint64 age, guint64 *n_removed, GCancellable *cancellable, GError **error)
{
  guint64 unwanted;

  if (n_removed == NULL)
    n_removed = &unwanted;
  *n_removed = 0;
  return begin (cancellable, error) && self->ops->sweep (self, age, n_removed, cancellable, error);
}

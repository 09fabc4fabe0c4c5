/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "util/error.h"

#define GROUP "policy"
#define FILE_MAX (256u << 10) /* bytes */
#define MESSAGE_MAX 1000      /* bytes */
#define TIME_MAX (G_GINT64_CONSTANT (1) << 40) /* seconds since 1970 */

void
pv_policy_state_clear (PvPolicyState *self)
{
  g_free (self->domain);
  g_free (self->digest);
  g_free (self->snapshot);
  g_free (self->message);
  g_strfreev (self->unpushed);
  g_free (self->push_message);
  g_free (self->prune_message);
  *self = (PvPolicyState){ 0 };
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static char *
path_of (const char *store, const char *uuid, const char *suffix)
{
  g_autofree char *name = g_strconcat (uuid, suffix, NULL);

  return g_build_filename (store, PV_POLICIES, name, NULL);
}

int
pv_policy_state_lock (const char *store, const char *uuid, GError **error)
{
  g_autofree char *directory = g_build_filename (store, PV_POLICIES, NULL);
  g_autofree char *path = path_of (store, uuid, ".lock");
  g_auto(PvFd) fd = PV_FD_NONE;

  if (!pv_mkdirs (directory, 0700, error))
    return PV_FD_NONE;
  fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, error);
  if (fd < 0 || !pv_flock (fd, LOCK_EX | LOCK_NB, path, error))
    return PV_FD_NONE;
  return pv_fd_steal (&fd);
}

gboolean
pv_policy_state_is_locked (const char *store, const char *uuid)
{
  g_autofree char *path = path_of (store, uuid, ".lock");
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0, NULL);
  g_autoptr(GError) error = NULL;

  return fd >= 0 && !pv_flock (fd, LOCK_SH | LOCK_NB, path, &error)
         && g_error_matches (error, PV_ERROR, PV_ERROR_BUSY);
}

int
pv_policy_serve (const char *store, GError **error)
{
  return pv_policy_state_lock (store, "served", error);
}

gboolean
pv_policy_is_served (const char *store)
{
  return pv_policy_state_is_locked (store, "served");
}

static gint64
read_time (GKeyFile *file, const char *key)
{
  gint64 time = g_key_file_get_int64 (file, GROUP, key, NULL);

  return time > 0 && time <= TIME_MAX ? time : 0;
}

static guint
read_count (GKeyFile *file, const char *key)
{
  return (guint) CLAMP (g_key_file_get_integer (file, GROUP, key, NULL), 0, 1000000);
}

void
pv_policy_state_load (PvPolicyState *self, const char *store, const char *uuid)
{
  g_autofree char *path = path_of (store, uuid, "");
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = pv_read_file (path, FILE_MAX, &error);
  g_autoptr(GKeyFile) file = g_key_file_new ();

  *self = (PvPolicyState){ 0 };
  if (bytes == NULL || !g_key_file_load_from_bytes (file, bytes, G_KEY_FILE_NONE, &error))
    {
      if (!g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND))
        g_warning ("'%s' begins anew: %s", path, error->message);
      return;
    }
  self->domain = g_key_file_get_string (file, GROUP, "domain", NULL);
  self->digest = g_key_file_get_string (file, GROUP, "digest", NULL);
  self->anchor = read_time (file, "anchor");
  self->attempt = read_time (file, "attempt");
  self->success = read_time (file, "success");
  self->snapshot = g_key_file_get_string (file, GROUP, "snapshot", NULL);
  self->failures = read_count (file, "failures");
  self->message = g_key_file_get_string (file, GROUP, "message", NULL);
  self->unpushed = g_key_file_get_string_list (file, GROUP, "unpushed", NULL, NULL);
  self->push_attempt = read_time (file, "push-attempt");
  self->push_failures = read_count (file, "push-failures");
  self->push_message = g_key_file_get_string (file, GROUP, "push-message", NULL);
  self->prune_message = g_key_file_get_string (file, GROUP, "prune-message", NULL);
}

static void
write_text (GKeyFile *file, const char *key, const char *text)
{
  g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

  if (valid != NULL)
    g_key_file_set_string (file, GROUP, key, valid);
}

gboolean
pv_policy_state_save (const PvPolicyState *self, const char *store, const char *uuid, GError **error)
{
  g_autofree char *path = path_of (store, uuid, "");
  g_autoptr(GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  gsize size = 0;

  write_text (file, "domain", self->domain);
  write_text (file, "digest", self->digest);
  g_key_file_set_int64 (file, GROUP, "anchor", self->anchor);
  g_key_file_set_int64 (file, GROUP, "attempt", self->attempt);
  g_key_file_set_int64 (file, GROUP, "success", self->success);
  write_text (file, "snapshot", self->snapshot);
  g_key_file_set_integer (file, GROUP, "failures", (gint) self->failures);
  write_text (file, "message", self->message);
  if (self->unpushed != NULL && *self->unpushed != NULL)
    g_key_file_set_string_list (file, GROUP, "unpushed", (const char *const *) self->unpushed,
                                g_strv_length (self->unpushed));
  g_key_file_set_int64 (file, GROUP, "push-attempt", self->push_attempt);
  g_key_file_set_integer (file, GROUP, "push-failures", (gint) self->push_failures);
  write_text (file, "push-message", self->push_message);
  write_text (file, "prune-message", self->prune_message);
  text = g_key_file_to_data (file, &size, NULL);
  return pv_write_file (path, text, size, error);
}

/* --- what happens ------------------------------------------------------------------------------------------------ */

static void
set_message (char **message, const char *text)
{
  g_free (*message);
  *message = text != NULL ? g_strndup (text, MESSAGE_MAX) : NULL;
}

/* When the clock was set back, what was written down as past would else be waited for. */
static gboolean
forget_future (PvPolicyState *self, gint64 now)
{
  gint64 *const times[] = { &self->anchor, &self->attempt, &self->push_attempt };
  gboolean changed = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    if (*times[i] > MAX (now, 1))
      {
        *times[i] = MAX (now, 1);
        changed = TRUE;
      }
  return changed;
}

gboolean
pv_policy_state_see (PvPolicyState *self, const char *domain, const char *policy, gint64 now)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, policy, -1);
  gboolean changed = forget_future (self, now);

  if (self->anchor > 0 && g_strcmp0 (self->digest, digest) == 0 && g_strcmp0 (self->domain, domain) == 0)
    return changed;
  if (self->anchor == 0 || (g_strcmp0 (self->digest, digest) != 0 && self->failures == 0))
    self->anchor = MAX (now, 1);
  if (g_strcmp0 (self->digest, digest) != 0)
    self->failures = self->push_failures = 0;
  g_free (self->domain);
  self->domain = g_strdup (domain);
  g_free (self->digest);
  self->digest = g_steal_pointer (&digest);
  return TRUE;
}

void
pv_policy_state_succeeded (PvPolicyState *self, const char *snapshot, gint64 now)
{
  char *name = g_strdup (snapshot); /* it may be our own */

  g_free (self->snapshot);
  self->snapshot = name;
  self->anchor = self->attempt = self->success = MAX (now, 1);
  self->failures = 0;
  set_message (&self->message, NULL);
}

void
pv_policy_state_failed (PvPolicyState *self, const char *message, gint64 now)
{
  self->attempt = MAX (now, 1);
  self->failures++;
  set_message (&self->message, message);
}

void
pv_policy_state_add_unpushed (PvPolicyState *self, const char *snapshot)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  guint n = self->unpushed != NULL ? g_strv_length (self->unpushed) : 0;

  for (guint i = n >= PV_POLICY_UNPUSHED_MAX ? n - PV_POLICY_UNPUSHED_MAX + 1 : 0; i < n; i++)
    g_strv_builder_add (builder, self->unpushed[i]);
  g_strv_builder_add (builder, snapshot);
  g_strfreev (self->unpushed);
  self->unpushed = g_strv_builder_end (builder);
}

void
pv_policy_state_pushed (PvPolicyState *self, const char *snapshot)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; self->unpushed != NULL && self->unpushed[i] != NULL; i++)
    if (!g_str_equal (self->unpushed[i], snapshot))
      g_strv_builder_add (builder, self->unpushed[i]);
  g_strfreev (self->unpushed);
  self->unpushed = g_strv_builder_end (builder);
  self->push_failures = 0;
  set_message (&self->push_message, NULL);
}

void
pv_policy_state_push_failed (PvPolicyState *self, const char *message, gint64 now)
{
  self->push_attempt = MAX (now, 1);
  self->push_failures++;
  set_message (&self->push_message, message);
}

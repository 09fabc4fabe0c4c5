/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRemote: a place outside this host that keeps objects under keys: a bucket (s3://BUCKET[/PREFIX]) or a directory
 * (file:///DIR).
 *
 * An object is written whole or not at all: nobody lists or reads a part of one, and what a put has acknowledged is
 * durable. Objects do not change in place; a put of a key that exists replaces the object in one step. All functions
 * block; a PvRemote may be used by any number of threads at once, each with as many operations as it has calls.
 *
 * Keys are names of our own making: components of [A-Za-z0-9._-] that do not begin with '.', joined by single '/',
 * altogether 1 to PV_REMOTE_KEY_MAX bytes. Others are our bug (g_return_if_fail), except in what a listing brings:
 * there they are somebody else's objects and left out. A key cannot be a folder of another key ("a" beside "a/b").
 *
 * Errors are decisions, the same for both transports; messages name the object or the remote, never a credential:
 *   NOT_FOUND    the object is not there, but bucket or directory are
 *   EXISTS       a put with IF_ABSENT found the key taken by other content
 *   UNSUPPORTED  this remote has no conditional put; or the URL's scheme is unknown
 *   DENIED       access refused: no or wrong credentials, wrong clock, missing permission
 *   INVALID      the remote itself is wrong: URL, endpoint, region, no such bucket or directory
 *   CORRUPT      an object is shorter than asked for, or an answer is not what it claims to be
 *   NO_SPACE     the directory's file system, or the quota of the bucket, is full
 *   UNREACHABLE  no answer, or no sensible one, although it was asked again and again: later it may work
 *   CANCELLED    @cancellable was cancelled
 * What may pass (resets, stalls, 5xx, 429) is tried again inside, with growing jittered pauses; all else fails at once.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PvRemote PvRemote;

#define PV_REMOTE_KEY_MAX 512                        /* bytes of a key, without the prefix of the remote */
#define PV_REMOTE_PUT_MAX (64u << 20)                /* bytes of an object that pv_remote_put() takes */
#define PV_REMOTE_FILE_MAX (G_GUINT64_CONSTANT (1) << 40) /* bytes of an object that pv_remote_put_file() takes */

typedef enum
{
  PV_REMOTE_ADDRESS_AUTO,    /* path style with an endpoint, else virtual hosts */
  PV_REMOTE_ADDRESS_PATH,    /* https://ENDPOINT/BUCKET/KEY */
  PV_REMOTE_ADDRESS_VIRTUAL, /* https://BUCKET.ENDPOINT/KEY */
} PvRemoteAddressing;

/* All zeros is a valid set of options. Copied by open; nothing of it is kept by reference. Only limit_rate and
 * part_size count for file://. */
typedef struct
{
  const char *endpoint;          /* (nullable): "https://HOST[:PORT]"; NULL: Amazon's of the region */
  const char *region;            /* (nullable): NULL: AWS_REGION, AWS_DEFAULT_REGION, else "us-east-1" */
  PvRemoteAddressing addressing;
  const char *ca_file;           /* (nullable): PEM file of the authorities to trust instead of the system's */

  /* Credentials: the first of these that is there. The access key given here (both or none; @session_token optional);
   * the value of @secret, "ACCESS-KEY:SECRET-KEY", as the secret reader below gives it; @credentials_file, in the
   * format of ~/.aws/credentials; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN;
   * AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials. */
  const char *access_key;        /* (nullable) */
  const char *secret_key;        /* (nullable) */
  const char *session_token;     /* (nullable) */
  const char *secret;            /* (nullable): UUID of a libvirt secret */
  const char *credentials_file;  /* (nullable): must not be readable by others */
  const char *profile;           /* (nullable): section of the file; NULL: AWS_PROFILE, else "default" */

  guint64 limit_rate;            /* bytes per second, of all operations together; 0: no limit */
  guint64 part_size;             /* bytes, 5 MiB to 1 GiB: files above it go up in parts of it; 0: 64 MiB */
  guint max_tries;               /* how often a request is made altogether; 0: 8 */
  guint stall_seconds;           /* without a byte moving, until a request counts as stalled; 0: 30 */
  guint pause_ms;                /* before the second try, doubled for each more; 0: 250 */
} PvRemoteOptions;

typedef enum
{
  PV_REMOTE_PUT_DEFAULT = 0,
  PV_REMOTE_PUT_IF_ABSENT = 1 << 0, /* never replace: PV_ERROR_EXISTS, or UNSUPPORTED where there is no such put */
} PvRemotePutFlags;

typedef struct
{
  const char *key; /* (not owned): valid during the call */
  guint64 size;    /* bytes */
  gint64 mtime;    /* seconds since 1970, by the clock of the remote */
} PvRemoteEntry;

/* Called in the calling thread for each object. FALSE with @error ends the listing, which fails with that error. */
typedef gboolean (*PvRemoteVisit) (const PvRemoteEntry *entry, gpointer data, GError **error);

/* Called in the calling thread: @done bytes of the object have moved. Goes back when a piece has to be sent again. */
typedef void (*PvRemoteProgress) (guint64 done, gpointer data);

/* (transfer full): the value of secret @uuid; wiped and freed by its receiver. Any thread. */
typedef char *(*PvRemoteSecretReader) (const char *uuid, gpointer data, GError **error);
/* How options with a @secret get its value, in this process: to be called before any of them are used. Without a reader
 * they are DENIED. */
void pv_remote_set_secret_reader (PvRemoteSecretReader reader, gpointer data);

/* Checks @url and @options and finds the credentials; connects nowhere. @options: (nullable).
 * file:///DIR needs an absolute DIR that is a directory (it is never created: it may be a mount that is missing).
 * INVALID, DENIED (no credentials found, or a file of them that others can read), UNSUPPORTED. */
PvRemote *pv_remote_open (const char *url, const PvRemoteOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
PvRemote *pv_remote_ref (PvRemote *self);
void pv_remote_unref (PvRemote *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRemote, pv_remote_unref)

/* (transfer none): the URL, in its one way to write it (no slash at the end). Has no secrets. */
const char *pv_remote_url (const PvRemote *self);

/* TRUE when @key is one that the functions below take. */
gboolean pv_remote_key_is_valid (const char *key);

/* Writes object @key with the content of @bytes (at most PV_REMOTE_PUT_MAX). With IF_ABSENT a put that finds the key
 * taken by the very same bytes has succeeded: its own acknowledgement may have been lost. */
gboolean pv_remote_put (PvRemote *self, const char *key, GBytes *bytes, PvRemotePutFlags flags,
                        GCancellable *cancellable, GError **error);

/* Writes object @key with the first @size bytes (at most PV_REMOTE_FILE_MAX) of the file @fd, which is read with pread,
 * more than once, and must not change meanwhile (shorter: CORRUPT). Needs little memory whatever @size is. @progress:
 * (nullable). When it fails or is cancelled, parts sent so far are removed if the remote can be reached, else by
 * pv_remote_sweep(). */
gboolean pv_remote_put_file (PvRemote *self, const char *key, int fd, guint64 size, GCancellable *cancellable,
                             PvRemoteProgress progress, gpointer data, GError **error);

/* Exactly @length bytes (> 0) from @offset of object @key. CORRUPT when the object ends before. What the bytes are is
 * not checked: the caller knows their digest. */
GBytes *pv_remote_get (PvRemote *self, const char *key, guint64 offset, gsize length, GCancellable *cancellable,
                       GError **error);

/* The whole of object @key, which has at most @max_size bytes (else CORRUPT, without reading more than that). */
GBytes *pv_remote_get_all (PvRemote *self, const char *key, gsize max_size, GCancellable *cancellable, GError **error);

/* Writes the object @key, which must have exactly @size bytes (else CORRUPT), to file @fd from its start on, with
 * pwrite; a transfer that breaks goes on where it was. Needs little memory. Does not sync @fd. @progress:
 * (nullable). */
gboolean pv_remote_get_file (PvRemote *self, const char *key, int fd, guint64 size, GCancellable *cancellable,
                             PvRemoteProgress progress, gpointer data, GError **error);

/* @size: (out) (optional): bytes of object @key. */
gboolean pv_remote_stat (PvRemote *self, const char *key, guint64 *size, GCancellable *cancellable, GError **error);

/* Removes object @key; one that is not there is fine. */
gboolean pv_remote_delete (PvRemote *self, const char *key, GCancellable *cancellable, GError **error);

/* Visits all objects whose key begins with @prefix ("" for all; any beginning of a key, so "packs/" or "packs/ab"), in
 * ascending order of the bytes of their keys, with @after: (nullable): only those behind it. An object that is put or
 * deleted meanwhile may be missed or not. Needs memory for one page (file://: one directory) only. */
gboolean pv_remote_list (PvRemote *self, const char *prefix, const char *after, PvRemoteVisit visit, gpointer data,
                         GCancellable *cancellable, GError **error);

/* Removes what puts that were killed have left and no listing shows (temporary files, unfinished multipart uploads),
 * if it was begun more than @age seconds ago. @n_removed: (out) (optional). */
gboolean pv_remote_sweep (PvRemote *self, guint64 age, guint64 *n_removed, GCancellable *cancellable, GError **error);

G_END_DECLS

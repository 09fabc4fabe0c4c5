/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and descriptors: whole reads and writes, durable publishing, scope-bound descriptors.
 *
 * Every function that changes the disk passes a fault point (util/fault.h): file.write, file.fsync, file.rename,
 * file.fsync-dir, file.unlink. Errors name the path.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A descriptor that closes itself: g_auto(PvFd) fd = PV_FD_NONE; hand it on by pv_fd_steal(). */
typedef int PvFd;
#define PV_FD_NONE (-1)
void pv_fd_clear (PvFd *fd);
int pv_fd_steal (PvFd *fd);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvFd, pv_fd_clear)

/* Opens @path (relative to @dirfd, or AT_FDCWD) with O_CLOEXEC. -1 with @error on failure. @mode counts with
 * O_CREAT. */
int pv_openat (int dirfd, const char *path, int flags, int mode, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Opens the file that @fd is once more, with @flags of its own, also when it has no name. -1 with @error on failure. */
int pv_reopen (int fd, int flags, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes all @size bytes, retrying short writes and EINTR. @name is for the message. */
gboolean pv_write_all (int fd, gconstpointer data, gsize size, const char *name, GError **error);
gboolean pv_pwrite_all (int fd, gconstpointer data, gsize size, guint64 offset, const char *name, GError **error);

/* Reads until @size bytes came or the end; the number read, -1 with @error. */
gssize pv_read_full (int fd, gpointer data, gsize size, const char *name, GError **error);
gssize pv_pread_full (int fd, gpointer data, gsize size, guint64 offset, const char *name, GError **error);
/* Exactly @size bytes at @offset, or PV_ERROR_CORRUPT ("ends early"). */
gboolean pv_pread_exact (int fd, gpointer data, gsize size, guint64 offset, const char *name, GError **error);

gboolean pv_fsync (int fd, const char *name, GError **error);
/* Makes the entries of directory @path durable. */
gboolean pv_fsync_dir (const char *path, GError **error);
/* rename(2) alone: for many files whose directories are synced afterwards. */
gboolean pv_rename (const char *from, const char *to, GError **error);
/* pv_rename(), then fsync of the directory that @to is in. @from must be synced before. */
gboolean pv_publish (const char *from, const char *to, GError **error);
/* Creates @path with @data durably: temporary file beside it, fsync, rename, directory fsync. Mode 0600. */
gboolean pv_write_file (const char *path, gconstpointer data, gsize size, GError **error);
/* The same, but nothing is synced: for a cache, whose files are checked when they are read. */
gboolean pv_write_cache_file (const char *path, gconstpointer data, gsize size, GError **error);
/* The content of @path, at most @max_size bytes (larger: PV_ERROR_CORRUPT). */
GBytes *pv_read_file (const char *path, gsize max_size, GError **error);
/* (transfer full): its lines, without their ends. What follows the last newline is left out: a line that somebody did
 * not come to write to its end. */
char **pv_read_lines (const char *path, gsize max_size, GError **error);
/* unlink(2); a file that is not there is fine. */
gboolean pv_unlink (const char *path, GError **error);
/* Removes @path and all below it, without following symbolic links. What is not there is fine. */
gboolean pv_remove_tree (const char *path, GError **error);
/* mkdir -p with @mode. */
gboolean pv_mkdirs (const char *path, int mode, GError **error);

/* flock(2) on @fd, LOCK_SH or LOCK_EX, | LOCK_NB. PV_ERROR_BUSY when LOCK_NB and somebody else has it. */
gboolean pv_flock (int fd, int operation, const char *name, GError **error);

G_END_DECLS

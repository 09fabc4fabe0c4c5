/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/pager-link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

static const char magic[8] = "PVPAGER1";

enum
{
  MESSAGE_SIZE = 24, /* bytes: magic, le64 address, le64 size */
  N_FDS = 2,
};

typedef union
{
  struct cmsghdr header;
  char space[CMSG_SPACE (N_FDS * sizeof (int))];
} Control;

gboolean
pv_pager_link_send (int socket, const PvPagerLink *link, int userfaultfd, int states, GError **error)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  const int fds[N_FDS] = { userfaultfd, states };
  Control control = { 0 };
  struct iovec io;
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);

  g_byte_array_append (bytes, (const guint8 *) magic, sizeof magic);
  pv_append_le64 (bytes, link->address);
  pv_append_le64 (bytes, link->size);
  io = (struct iovec){ bytes->data, bytes->len };
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (sizeof fds);
  memcpy (CMSG_DATA (header), fds, sizeof fds);
  return TEMP_FAILURE_RETRY (sendmsg (socket, &message, MSG_NOSIGNAL)) == (ssize_t) bytes->len
         || pv_throw_errno (error, errno, "cannot send the memory to its pager");
}

/* Takes all descriptors that came; -1 in @fds for those that did not. Too many are closed. */
static void
take_fds (struct msghdr *message, int *fds)
{
  guint n = 0;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL; header = CMSG_NXTHDR (message, header))
    {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        continue;
      for (gsize at = 0; CMSG_LEN (0) + at + sizeof (int) <= header->cmsg_len; at += sizeof (int))
        {
          int fd;

          memcpy (&fd, CMSG_DATA (header) + at, sizeof fd);
          if (n < N_FDS)
            fds[n++] = fd;
          else
            close (fd);
        }
    }
}

static gboolean
check (const guint8 *bytes, ssize_t n, PvPagerLink *link, const int *fds, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (bytes, n < 0 ? 0 : (gsize) n);
  char found[sizeof magic];
  struct stat st;

  pv_cursor_copy (&cursor, found, sizeof found);
  link->address = pv_cursor_le64 (&cursor);
  link->size = pv_cursor_le64 (&cursor);
  if (!pv_cursor_end (&cursor, NULL) || memcmp (found, magic, sizeof magic) != 0 || fds[0] < 0 || fds[1] < 0)
    return pv_corrupt (error, "what came over the socket is not memory to be paged");
  if (link->size == 0 || link->size > PV_PAGER_SIZE_MAX || link->size % PV_PAGER_PAGE != 0
      || link->address % PV_PAGER_PAGE != 0)
    return pv_corrupt (error, "memory of %" G_GUINT64_FORMAT " bytes cannot be paged", link->size);
  if (fstat (fds[1], &st) < 0 || (guint64) st.st_size != link->size / PV_PAGER_PAGE)
    return pv_corrupt (error, "the page states that came over the socket are not those of the memory");
  return TRUE;
}

gboolean
pv_pager_link_receive (int socket, PvPagerLink *link, int *userfaultfd, int *states, GError **error)
{
  guint8 bytes[MESSAGE_SIZE + 1];
  Control control;
  struct iovec io = { bytes, sizeof bytes };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control };
  ssize_t n = TEMP_FAILURE_RETRY (recvmsg (socket, &message, MSG_CMSG_CLOEXEC));
  int fds[N_FDS] = { PV_FD_NONE, PV_FD_NONE };

  if (n < 0)
    return pv_throw_errno (error, errno, "cannot receive memory to be paged");
  take_fds (&message, fds);
  if (!check (bytes, n, link, fds, error))
    {
      pv_fd_clear (&fds[0]);
      pv_fd_clear (&fds[1]);
      return FALSE;
    }
  *userfaultfd = fds[0];
  *states = fds[1];
  return TRUE;
}

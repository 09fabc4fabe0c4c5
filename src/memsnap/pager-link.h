/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What travels between paged memory and its pager: one message with a userfaultfd and a memfd of page states. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

enum
{
  PV_PAGER_PAGE = 4096,
};

#define PV_PAGER_SIZE_MAX (G_GUINT64_CONSTANT (1) << 46) /* bytes */

/* State of a page: one byte each in the memfd, stored with release. */
enum
{
  PV_PAGER_MISSING = 0,
  PV_PAGER_PLACED = 1,
  PV_PAGER_DISCARDED = 2, /* by the program, before or after it was placed: zeros when touched again */
  /* May be there already: when its pager ends now, the next one places it, since nobody need touch it again. */
  PV_PAGER_PLACING = 3,
};

static inline gboolean
pv_pager_state_is_missing (guint8 state)
{
  return state == PV_PAGER_MISSING || state == PV_PAGER_PLACING;
}

typedef struct
{
  guint64 address; /* in the process that has the memory */
  guint64 size;    /* bytes */
} PvPagerLink;

gboolean pv_pager_link_send (int socket, const PvPagerLink *link, int userfaultfd, int states, GError **error);
/* @userfaultfd, @states: (out): owned by the caller on success. PV_ERROR_CORRUPT when it is not such a message. */
gboolean pv_pager_link_receive (int socket, PvPagerLink *link, int *userfaultfd, int *states, GError **error);

G_END_DECLS

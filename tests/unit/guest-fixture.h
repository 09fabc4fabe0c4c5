/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a capture says of a guest beside its volumes, for tests that need a snapshot of one without QEMU. */
#pragma once

#include "store-fixture.h"
#include "stream/stream-head.h"
#include "virt/attachments.h"

/* (transfer full): the beginning of the stream of a guest of QEMU's; without blocks of memory so far. */
static inline PvStreamHead *
guest_head (guint page_size)
{
  PvStreamHead *head = pv_stream_head_new ();

  head->version = 3;
  head->ram_section_id = 2;
  head->ram_version = 4;
  head->page_size = page_size;
  return head;
}

static inline void
guest_attach (PvTxn *txn, const char *name, GBytes *bytes)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_txn_attach (txn, name, bytes, &error));
  g_assert_no_error (error);
}

/* The @n bytes at @devices are what QEMU writes behind memory. */
static inline void
guest_describe (PvTxn *txn, const PvStreamHead *head, const char *xml, gconstpointer devices, gsize n)
{
  g_autoptr(GBytes) xml_bytes = g_bytes_new (xml, strlen (xml));
  g_autoptr(GBytes) device_bytes = g_bytes_new (devices, n);
  g_autoptr(GBytes) head_bytes = pv_stream_head_serialize (head);
  g_autoptr(GError) error = NULL;

  guest_attach (txn, PV_ATTACH_STREAM_HEAD, head_bytes);
  guest_attach (txn, PV_ATTACH_DOMAIN_XML, xml_bytes);
  g_assert_true (pv_txn_add_blob (txn, PV_BLOB_DEVICES, device_bytes, &error));
  g_assert_no_error (error);
}

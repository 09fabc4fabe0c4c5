/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The numbers of QEMU's migration stream (docs/format-qemu-stream.md). All integers are big-endian. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_STREAM_MAGIC 0x5145564du /* "QEVM" */
#define PV_STREAM_VERSION 3u
#define PV_STREAM_RAM_NAME "ram"
#define PV_STREAM_RAM_VERSION 4u

/* The byte that starts a section. */
enum
{
  PV_SECTION_EOF = 0x00,
  PV_SECTION_START = 0x01,
  PV_SECTION_PART = 0x02,
  PV_SECTION_END = 0x03,
  PV_SECTION_FULL = 0x04,
  PV_SECTION_SUBSECTION = 0x05,
  PV_SECTION_VMDESCRIPTION = 0x06,
  PV_SECTION_CONFIGURATION = 0x07,
  PV_SECTION_COMMAND = 0x08,
  PV_SECTION_FOOTER = 0x7e,
};

/* The low bits of a RAM record's first word; the rest is an offset. */
enum
{
  PV_RAM_ZERO = 0x02,
  PV_RAM_MEM_SIZE = 0x04,
  PV_RAM_PAGE = 0x08,
  PV_RAM_EOS = 0x10,
  PV_RAM_CONTINUE = 0x20,
  PV_RAM_XBZRLE = 0x40,
  PV_RAM_HOOK = 0x80,
  PV_RAM_COMPRESS_PAGE = 0x100,
  PV_RAM_MULTIFD_FLUSH = 0x200,
};

/* COMMAND sections. */
enum
{
  PV_COMMAND_OPEN_RETURN_PATH = 1,
  PV_COMMAND_PING = 2,
  PV_COMMAND_POSTCOPY_ADVISE = 3,
  PV_COMMAND_POSTCOPY_LISTEN = 4,
  PV_COMMAND_POSTCOPY_RUN = 5,
  PV_COMMAND_POSTCOPY_RAM_DISCARD = 6,
  PV_COMMAND_PACKAGED = 7,
  PV_COMMAND_POSTCOPY_RESUME = 9,
  PV_COMMAND_RECV_BITMAP = 10,
  PV_COMMAND_SWITCHOVER_START = 11,
};

enum
{
  PV_STREAM_SECTION_HEADER_SIZE = 5, /* PART and END: type, section id */
  PV_STREAM_FOOTER_SIZE = 5,
  PV_STREAM_EOS_SIZE = 8,
};

G_END_DECLS

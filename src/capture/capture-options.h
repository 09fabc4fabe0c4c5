/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a user can ask of a capture. */
#pragma once

#include <gio/gio.h>

#include "store/store.h"
#include "xml/snapshot-xml.h"

G_BEGIN_DECLS

typedef enum
{
  PV_OVERRUN_SPILL,    /* the buffer's excess goes to a file in the store */
  PV_OVERRUN_THROTTLE, /* the guest feels it */
  PV_OVERRUN_FAIL,     /* the snapshot is cancelled cleanly */
} PvOverrun;
/* "spill", "throttle", "fail"; PV_ERROR_INVALID for another word. */
gboolean pv_overrun_parse (const char *text, PvOverrun *overrun, GError **error);
const char *pv_overrun_to_string (PvOverrun overrun);

#define PV_CAPTURE_BUFFER_DEFAULT (256ull << 20) /* bytes */
#define PV_CAPTURE_BUFFER_MIN (1ull << 20)
#define PV_CAPTURE_MAX_PAUSE_DEFAULT 50 /* milliseconds */
#define PV_CAPTURE_MAX_PAUSE_MAX 60000

/* Writes the memory of @snapshot into the new file @file as a libvirt save image. */
typedef gboolean (*PvSaveMemoryFunc) (PvStore *store, PvSnapshot *snapshot, const char *file, GCancellable *cancellable,
                                      gpointer data, GError **error);

typedef struct
{
  char *name;          /* (owned) (nullable): time stamp */
  char *description;   /* (owned) (nullable) */
  char *engine;        /* (owned): "auto", or of "direct", "qemu", "live", "paused" one, or several with commas between,
                          of which the first that works is taken */
  guint max_pause_ms;  /* engine direct: what the memory that is left may add to the pause */
  gboolean track;      /* engine direct: go on watching memory, for the next capture */
  gboolean check_tracking; /* engine direct: compares all memory, in the pause */
  guint64 buffer;      /* bytes of the memory stream held in RAM */
  PvOverrun on_overrun;
  gboolean no_disks;   /* memory and device state only */
  gboolean disk_only;
  gboolean quiesce;
  gboolean keep_overlay;
  char *memory_file;   /* (owned) (nullable): with keep_overlay: libvirt gets the memory as well, in this file */
  PvSaveMemoryFunc save_memory; /* (nullable) unless memory_file; called when the snapshot is listed */
  gpointer save_memory_data;
  char *overlay_dir;   /* (owned) (nullable): beside the disk's file */
  gboolean libvirt_names; /* of overlays: the disk's file, with the snapshot's name in place of its suffix */
  GPtrArray *disks;    /* (owned) (element-type PvDiskSpec) */
} PvCaptureOptions;

void pv_capture_options_init (PvCaptureOptions *self);
void pv_capture_options_clear (PvCaptureOptions *self);
/* (self must be cleared or fresh memory before) */
void pv_capture_options_copy (PvCaptureOptions *self, const PvCaptureOptions *from);
/* PV_ERROR_INVALID with a sentence for what contradicts itself or is out of range. */
gboolean pv_capture_options_check (const PvCaptureOptions *self, GError **error);

G_END_DECLS

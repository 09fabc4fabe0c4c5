/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the documents and blobs that a snapshot of a guest carries (docs/format-store.md has them all). */
#pragma once

#define PV_ATTACH_DOMAIN_XML "domain.xml"            /* live, migratable, with security info: taken in the pause */
#define PV_ATTACH_INACTIVE_XML "domain-inactive.xml" /* the persistent definition, when there is one */
#define PV_ATTACH_COOKIE "save-cookie.xml"           /* for the save image */
#define PV_ATTACH_STREAM_HEAD "stream-head"          /* pv_stream_head serialized */
#define PV_ATTACH_CAPTURE "capture.json"             /* engine, pause, versions, disks: docs/capture.md */
#define PV_ATTACH_IMAGE_HEAD "image-head"            /* of an import: what export needs to give the same bytes back */
#define PV_BLOB_DEVICES "devices"                    /* device state */
#define PV_BLOB_NVRAM "nvram"                        /* UEFI variables */

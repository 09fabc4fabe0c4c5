/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long whoever touches a missing page of a lazily restored guest waits for it.
 *
 *   bench-pager STORE DOMAIN@NAME TOUCHES RUN RATE       prints JSON, microseconds
 *
 * The pager (src/restore/pager.h) runs in a process of its own. This one stands for QEMU: memory with a userfaultfd, a
 * thread that turns faults into requests on the return path, one that takes the pages from the channel through a buffer
 * of 32 KiB and places them; and a guest, which touches TOUCHES missing pages that hold data: RUN at a stretch, the
 * stretches in random order. The pager sends the rest of the memory meanwhile, at most RATE bytes a second (0: no
 * limit; 1: nothing to speak of).
 *
 * wait: from before the touch to after it. answer: from the request to the page's arrival: channel and pager alone.
 * pager_cpu: CPU time of the pager for each touch.
 */
#include "config.h"

#include <json-glib/json-glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memsnap/userfault.h"
#include "restore/pager.h"
#include "restore/pager-warm.h"
#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/file.h"

#define PAGE ((gsize) PV_POSTCOPY_PAGE)
#define CHANNEL_BUFFER (32u << 10) /* bytes: QEMU's */

typedef struct
{
  PvPagerSource *source; /* (owned) */
  PvStore *store;        /* (owned) */
  guint64 n_pages;
  int channel, uffd;
  guint8 *memory;
  gint64 *asked;         /* ns, by page; 0: nobody has asked for it */
  GArray *answers;       /* (element-type gint64): ns; of the thread that places */
  GMutex reply;          /* whoever writes to the channel */
} Machine;

static gint64
now_ns (void)
{
  struct timespec at;

  clock_gettime (CLOCK_MONOTONIC, &at);
  return (gint64) at.tv_sec * 1000000000 + at.tv_nsec;
}

static void
check (gboolean ok, const char *what, const GError *error)
{
  if (!ok)
    g_error ("%s: %s", what, error != NULL ? error->message : "unexpected");
}

static void
open_source (Machine *machine, const char *directory, const char *snapshot_name)
{
  g_auto(GStrv) parts = g_strsplit (snapshot_name, "@", 2);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;

  check (parts[0] != NULL && parts[1] != NULL, snapshot_name, NULL);
  machine->store = pv_store_open (directory, 0, &error);
  check (machine->store != NULL, directory, error);
  snapshot = pv_store_find (machine->store, parts[0], parts[1], NULL, &error);
  check (snapshot != NULL, snapshot_name, error);
  machine->source = pv_pager_source_new (machine->store, snapshot, &error);
  check (machine->source != NULL, snapshot_name, error);
  machine->n_pages = pv_pager_source_n_pages (machine->source);
}

/* --- the pager --------------------------------------------------------------------------------------------------- */

/* Never returns. */
static void
run_pager (const char *directory, const char *snapshot, int channel, guint64 rate)
{
  Machine machine = { 0 };
  g_autoptr(PvPagerShared) shared = NULL;
  g_autoptr(PvPager) pager = NULL;
  g_autoptr(GError) error = NULL;
  PvPagerEnd end;
  int fd = -1;

  prctl (PR_SET_NAME, "pager"); /* for perf(1) */
  open_source (&machine, directory, snapshot);
  shared = pv_pager_shared_map (&fd, machine.n_pages, &error);
  check (shared != NULL, "shared", error);
  pager = pv_pager_new (machine.source, shared, channel, NULL);
  pv_pager_set_rate (pager, rate);
  pv_pager_set_nice (PV_PAGER_NICE_REQUESTS);
  check (write (channel, "R", 1) == 1, "ready", NULL);
  check (pv_pager_run (pager, &end, &error), "pager", error);
  fprintf (stderr, "%" G_GUINT64_FORMAT " requests, %.1f us each by the pager's own count; %" G_GUINT64_FORMAT " of %"
           G_GUINT64_FORMAT " pages sent\n", shared->n_requested,
           (double) shared->demand_us / MAX (shared->n_requested, 1), shared->n_sent, shared->n_pages);
  _exit (0);
}

/* --- QEMU -------------------------------------------------------------------------------------------------------- */

static void
say (Machine *machine, guint16 type, const GByteArray *body)
{
  g_autoptr(GByteArray) out = g_byte_array_new ();

  pv_append_be16 (out, type);
  pv_append_be16 (out, (guint16) body->len);
  g_byte_array_append (out, body->data, body->len);
  g_mutex_lock (&machine->reply);
  if (!pv_write_all (machine->channel, out->data, out->len, "channel", NULL))
    g_debug ("the pager is gone");
  g_mutex_unlock (&machine->reply);
}

static void
request (Machine *machine, guint64 page)
{
  g_autoptr(GByteArray) body = g_byte_array_new ();
  const PvRamBlock *ram;
  guint64 offset;
  guint block;

  pv_pager_source_locate (machine->source, page, &block, &offset);
  ram = g_ptr_array_index (pv_pager_source_head (machine->source)->blocks, block);
  pv_append_be64 (body, offset);
  pv_append_be32 (body, PAGE);
  pv_append_u8 (body, strlen (ram->name));
  g_byte_array_append (body, (const guint8 *) ram->name, strlen (ram->name));
  __atomic_store_n (&machine->asked[page], now_ns (), __ATOMIC_RELEASE);
  say (machine, 3, body);
}

static gpointer
watch_faults (gpointer data)
{
  Machine *machine = data;
  struct pollfd pollfd = { .fd = machine->uffd, .events = POLLIN };

  for (;;)
    {
      struct uffd_msg msg;

      if (poll (&pollfd, 1, -1) > 0 && read (machine->uffd, &msg, sizeof msg) == sizeof msg
          && msg.event == UFFD_EVENT_PAGEFAULT)
        request (machine, (msg.arg.pagefault.address - (guintptr) machine->memory) / PAGE);
    }
  return NULL;
}

typedef struct
{
  int fd;
  guint8 data[CHANNEL_BUFFER];
  gsize at, n;
} Channel;

static gboolean
take (Channel *channel, gpointer to, gsize size)
{
  for (guint8 *out = to; size > 0;)
    {
      gsize now = MIN (size, channel->n - channel->at);

      if (now == 0)
        {
          gssize n = recv (channel->fd, channel->data, sizeof channel->data, 0);

          if (n <= 0)
            return FALSE;
          channel->at = 0;
          channel->n = (gsize) n;
          continue;
        }
      memcpy (out, channel->data + channel->at, now);
      channel->at += now;
      out += now;
      size -= now;
    }
  return TRUE;
}

static guint64
take_be (Channel *channel, gsize size)
{
  guint8 bytes[8] = { 0 };
  guint64 value = 0;

  if (!take (channel, bytes, size))
    return 0;
  for (gsize i = 0; i < size; i++)
    value = value << 8 | bytes[i];
  return value;
}

static void
place (Machine *machine, guint64 page, guint8 *data)
{
  gint64 asked = __atomic_load_n (&machine->asked[page], __ATOMIC_ACQUIRE);
  gint64 answer = now_ns () - asked;

  if (asked != 0)
    g_array_append_val (machine->answers, answer);
  if (pv_userfault_copy (machine->uffd, (guintptr) machine->memory + page * PAGE, (guintptr) data, PAGE, PAGE) != 0)
    g_error ("page %" G_GUINT64_FORMAT " cannot be placed", page);
}

/* The records of a PART. FALSE: the channel is closed. */
static gboolean
place_part (Machine *machine, Channel *channel)
{
  static guint8 data[PV_POSTCOPY_PAGE] __attribute__ ((aligned (4096)));
  const PvStreamHead *head = pv_pager_source_head (machine->source);

  for (;;)
    {
      guint64 word = take_be (channel, 8), page;
      char name[256] = "";
      int block;

      if (word & PV_RAM_EOS || word == 0)
        return word != 0;
      take (channel, name, take_be (channel, 1));
      block = pv_stream_head_find_block (head, name);
      check (block >= 0, name, NULL);
      page = pv_pager_source_first_page (machine->source, (guint) block) + (word & ~(PAGE - 1)) / PAGE;
      memset (data, 0, word & PV_RAM_ZERO ? PAGE : 0);
      if (!take (channel, data, word & PV_RAM_ZERO ? 1 : PAGE))
        return FALSE;
      place (machine, page, data);
    }
}

static void
pong (Machine *machine, guint64 value)
{
  g_autoptr(GByteArray) body = g_byte_array_new ();

  pv_append_be32 (body, (guint32) value);
  say (machine, 2, body);
}

static gpointer
listen_to_pager (gpointer data)
{
  Machine *machine = data;
  Channel *channel = g_new0 (Channel, 1);

  channel->fd = machine->channel;
  for (guint8 type; take (channel, &type, 1);)
    switch (type)
      {
      case PV_SECTION_PART:
        take_be (channel, 4);
        if (!place_part (machine, channel))
          return NULL;
        break;
      case PV_SECTION_FOOTER:
        take_be (channel, 4);
        break;
      case PV_SECTION_COMMAND:
        take_be (channel, 4);
        pong (machine, take_be (channel, 4));
        break;
      case PV_SECTION_END:
        return NULL;
      default:
        g_error ("section %u", type);
      }
  return NULL;
}

/* --- the guest --------------------------------------------------------------------------------------------------- */

/* (transfer full) (element-type guint64): pages with data, in random order of stretches of @run. */
static GArray *
choose_pages (Machine *machine, guint run)
{
  GArray *pages = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr(GRand) rand = g_rand_new_with_seed (1);
  guint64 *all;

  for (guint block = 0; block < pv_pager_source_n_blocks (machine->source); block++)
    {
      PvVolumeReader *reader = pv_pager_source_reader (machine->source, block);
      guint64 first = pv_pager_source_first_page (machine->source, block), length;
      gboolean zero;

      for (guint64 at = 0; at < pv_volume_reader_size (reader); at += length)
        {
          check (pv_volume_reader_extent (reader, at, &length, &zero, NULL), "extent", NULL);
          for (guint64 page = first + at / PAGE; !zero && page < first + (at + length) / PAGE; page++)
            g_array_append_val (pages, page);
        }
    }
  all = (guint64 *) (gpointer) pages->data;
  for (guint i = pages->len / run; i-- > 1;)
    {
      guint64 *a = all + (gsize) i * run, *b = all + (gsize) g_rand_int_range (rand, 0, (gint32) i + 1) * run;

      for (guint k = 0; k < run; k++)
        {
          guint64 page = a[k];

          a[k] = b[k];
          b[k] = page;
        }
    }
  return pages;
}

/* (transfer full) (element-type gint64): ns that each touch of a missing page took. */
static GArray *
touch (Machine *machine, const GArray *pages, guint n)
{
  GArray *waits = g_array_new (FALSE, FALSE, sizeof (gint64));

  for (guint i = 0; i < pages->len && waits->len < n; i++)
    {
      guint64 page = g_array_index (pages, guint64, i);
      volatile guint8 *byte = machine->memory + page * PAGE;
      unsigned char there = 0;
      gint64 before, wait;

      g_assert_cmpint (mincore ((gpointer) byte, PAGE, &there), ==, 0);
      if (there & 1)
        continue;
      before = now_ns ();
      (void) *byte;
      wait = now_ns () - before;
      g_array_append_val (waits, wait);
    }
  return waits;
}

static int
by_value (gconstpointer a, gconstpointer b)
{
  const gint64 *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

static void
put_times (JsonBuilder *json, const char *name, GArray *times)
{
  static const struct
  {
    const char *name;
    guint permille;
  } parts[] = { { "median", 500 }, { "p90", 900 }, { "p99", 990 } };

  g_array_sort (times, by_value);
  json_builder_set_member_name (json, name);
  json_builder_begin_object (json);
  for (guint i = 0; i < G_N_ELEMENTS (parts) && times->len > 0; i++)
    {
      gint64 ns = g_array_index (times, gint64, (guint64) times->len * parts[i].permille / 1000);

      json_builder_set_member_name (json, parts[i].name);
      json_builder_add_double_value (json, (double) (ns / 100) / 10);
    }
  json_builder_end_object (json);
}

static void
put_number (JsonBuilder *json, const char *name, double value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_double_value (json, value);
}

static void
make_memory (Machine *machine)
{
  g_autoptr(GError) error = NULL;

  machine->uffd = pv_userfault_open (0, TRUE, &error);
  check (machine->uffd >= 0, "userfaultfd", error);
  machine->memory = mmap (NULL, machine->n_pages * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check (machine->memory != MAP_FAILED, "memory", NULL);
  madvise (machine->memory, machine->n_pages * PAGE, MADV_NOHUGEPAGE);
  check (pv_userfault_register (machine->uffd, (guintptr) machine->memory, machine->n_pages * PAGE,
                                UFFDIO_REGISTER_MODE_MISSING) == 0, "register", NULL);
  machine->asked = g_new0 (gint64, machine->n_pages);
  machine->answers = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_mutex_init (&machine->reply);
}

static void
print (GArray *waits, GArray *answers, double seconds)
{
  g_autoptr(JsonBuilder) json = json_builder_new ();
  g_autoptr(JsonNode) node = NULL;
  g_autofree char *text = NULL;
  struct rusage usage;

  getrusage (RUSAGE_CHILDREN, &usage);
  json_builder_begin_object (json);
  put_number (json, "touches", waits->len);
  put_number (json, "seconds", seconds);
  put_times (json, "wait", waits);
  put_times (json, "answer", answers);
  put_number (json, "pager_cpu",
              ((double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
               + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)) / MAX (waits->len, 1));
  json_builder_end_object (json);
  node = json_builder_get_root (json);
  text = json_to_string (node, FALSE);
  puts (text);
}

int
main (int argc, char **argv)
{
  Machine machine = { 0 };
  g_autoptr(GArray) pages = NULL;
  g_autoptr(GArray) waits = NULL;
  GThread *listener;
  gint64 start, end;
  char ready;
  int ends[2], status;
  pid_t pid;

  if (argc != 6)
    {
      fprintf (stderr, "bench-pager STORE DOMAIN@NAME TOUCHES RUN RATE\n");
      return 2;
    }
  signal (SIGPIPE, SIG_IGN); /* the end comes while pages do */
  check (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair", NULL);
  pid = fork ();
  if (pid == 0)
    {
      close (ends[0]);
      run_pager (argv[1], argv[2], ends[1], g_ascii_strtoull (argv[5], NULL, 10));
    }
  close (ends[1]);
  machine.channel = ends[0];
  open_source (&machine, argv[1], argv[2]);
  make_memory (&machine);
  pages = choose_pages (&machine, (guint) MAX (atoi (argv[4]), 1));
  check (read (machine.channel, &ready, 1) == 1, "the pager does not start", NULL);
  g_thread_unref (g_thread_new ("faults", watch_faults, &machine));
  listener = g_thread_new ("listen", listen_to_pager, &machine);
  start = now_ns ();
  waits = touch (&machine, pages, (guint) atoi (argv[3]));
  end = now_ns ();
  shutdown (machine.channel, SHUT_RDWR);
  g_thread_join (listener);
  check (waitpid (pid, &status, 0) == pid && status == 0, "the pager", NULL);
  print (waits, machine.answers, (double) (end - start) / 1e9);
  return 0;
}

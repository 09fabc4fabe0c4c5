/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/remote-call.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memsnap/memory-map.h"
#include "memsnap/remote-frame.h"
#include "util/error.h"
#include "util/file.h"

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#define GET_RSEQ 0x420f /* PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13 */

enum
{
  PATIENCE_US = 3 * 1000 * 1000, /* for a thread to stop, or to come back from one system call */
  TRIES = 200,                   /* while it is where it must not be disturbed */
  CODE_SEGMENT = 0x33,           /* of 64-bit programs */
  DIRECTION_FLAG = 0x400,
  TRAP_FLAG = 0x100,
  SCAN = 1 << 20,                /* bytes of code looked through at a time */
};

typedef struct
{
  int pid, pidfd;
  long number;
  guint64 argument;
  guint64 gadget;   /* code: syscall, ret */
  guint64 restorer; /* code: rt_sigreturn */
  guint64 stack_start, stack_end;
  int fd; /* the outcome */
  GError *error;
} Call;

/* --- what can be found out while the target runs --- */

static void
find_code (Call *call, const guint8 *code, gsize size, guint64 address)
{
  static const guint8 call_and_return[] = { 0x0f, 0x05, 0xc3 };
  static const guint8 restorers[][9] = { { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 },
                                         { 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05 } };
  const guint8 *found = memmem (code, size, call_and_return, sizeof call_and_return);

  if (found != NULL && call->gadget == 0)
    call->gadget = address + (guint64) (found - code);
  for (guint i = 0; i < G_N_ELEMENTS (restorers) && call->restorer == 0; i++)
    {
      found = memmem (code, size, restorers[i], i == 0 ? 9 : 7);
      if (found != NULL)
        call->restorer = address + (guint64) (found - code);
    }
}

static gboolean
read_map (Call *call, GError **error)
{
  g_autoptr(GArray) areas = pv_memory_map_read (call->pid, 0, G_MAXUINT64, error);
  g_autofree guint8 *code = g_malloc (SCAN);

  if (areas == NULL)
    return FALSE;
  for (guint i = 0; i < areas->len; i++)
    {
      const PvMemoryArea *area = &g_array_index (areas, PvMemoryArea, i);

      if (area->stack)
        {
          call->stack_start = area->start;
          call->stack_end = area->end;
        }
      /* Code of a file stays where it is. */
      if (!area->file || area->shared || area->protection != (PROT_READ | PROT_EXEC))
        continue;
      for (guint64 at = area->start; at < area->end && (call->gadget == 0 || call->restorer == 0); at += SCAN - 16)
        {
          struct iovec local = { code, MIN (SCAN, area->end - at) };
          struct iovec remote = { (gpointer) (gsize) at, local.iov_len };
          ssize_t n = process_vm_readv (call->pid, &local, 1, &remote, 1, 0);

          if (n < 0)
            return pv_throw_errno (error, errno, "cannot read the memory of process %d", call->pid);
          find_code (call, code, (gsize) n, at);
        }
    }
  return (call->gadget != 0 && call->restorer != 0 && call->stack_end != 0)
         || pv_throw (error, PV_ERROR_UNSUPPORTED, "process %d has no code that makes a system call, or none that "
                      "returns from a signal handler", call->pid);
}

/* --- the thread that traces; when it ends, whatever was stopped runs on --- */

/* Waits for the next stop. */
static gboolean
wait_stop (const Call *call, int *status, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      pid_t pid = waitpid (call->pid, status, __WALL | WNOHANG);

      if (pid < 0 && errno != EINTR)
        return pv_throw_errno (error, errno, "cannot wait for process %d", call->pid);
      if (pid == call->pid && !WIFSTOPPED (*status))
        return pv_throw (error, PV_ERROR_NOT_FOUND, "process %d has ended", call->pid);
      if (pid == call->pid)
        return TRUE;
      if (g_get_monotonic_time () > deadline)
        return pv_throw (error, PV_ERROR_BUSY, "the first thread of process %d does not stop: it waits for a disk or "
                         "the like; try again", call->pid);
      g_usleep (20);
    }
}

/* A signal that arrived at a stop goes on to the thread. */
static int
signal_of (int status)
{
  return status >> 16 == 0 && WSTOPSIG (status) != (SIGTRAP | 0x80) ? WSTOPSIG (status) : 0;
}

static gboolean
stop_thread (const Call *call, GError **error)
{
  int status;

  if (ptrace (PTRACE_INTERRUPT, call->pid, NULL, NULL) < 0)
    return pv_throw_errno (error, errno, "cannot stop process %d", call->pid);
  for (;;)
    {
      if (!wait_stop (call, &status, error))
        return FALSE;
      if (status >> 16 == PTRACE_EVENT_STOP)
        return TRUE;
      ptrace (PTRACE_CONT, call->pid, NULL, (gpointer) (gsize) signal_of (status));
    }
}

/* Whether the thread is in a restartable sequence, of which nothing but the kernel may interrupt it. */
static gboolean
is_in_sequence (const Call *call)
{
  struct { guint64 pointer; guint32 size, signature, flags, padding; } rseq = { 0 };
  guint64 section = 0;
  struct iovec local = { &section, sizeof section }, remote;

  if (ptrace (GET_RSEQ, call->pid, sizeof rseq, &rseq) < 0 || rseq.pointer == 0)
    return FALSE;
  remote = (struct iovec){ (gpointer) (gsize) (rseq.pointer + 8), sizeof section };
  return process_vm_readv (call->pid, &local, 1, &remote, 1, 0) != sizeof section || section != 0;
}

static gboolean
check_place (const Call *call, const struct user_regs_struct *regs, GError **error)
{
  if (regs->cs != CODE_SEGMENT)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "process %d is not a 64-bit program", call->pid);
  if (regs->rsp < call->stack_start + PV_REMOTE_FRAME_MAX || regs->rsp > call->stack_end)
    return pv_throw (error, PV_ERROR_BUSY, "the first thread of process %d is not on its own stack, or that is full",
                     call->pid);
  if ((gint64) regs->orig_rax < 0 && is_in_sequence (call))
    return pv_throw (error, PV_ERROR_BUSY, "process %d must not be disturbed where it is", call->pid);
  return TRUE;
}

static gboolean
send_away (const Call *call, const struct user_regs_struct *regs, const PvRemoteFrame *frame, guint64 number,
           guint64 argument, GError **error)
{
  struct user_regs_struct to = *regs;

  to.rip = call->gadget;
  to.rsp = frame->address;
  to.rax = number;
  to.orig_rax = G_MAXUINT64; /* not in a system call: nothing is begun again here */
  to.rdi = argument;
  to.eflags &= ~(guint64) (DIRECTION_FLAG | TRAP_FLAG);
  return ptrace (PTRACE_SETREGS, call->pid, NULL, &to) == 0
         || pv_throw_errno (error, errno, "cannot set the registers of process %d", call->pid);
}

/* Lets it run to the end of our system call, through whatever signal handlers come before. */
static gboolean
run_to_exit (const Call *call, const PvRemoteFrame *frame, struct user_regs_struct *regs, GError **error)
{
  int deliver = 0;

  for (;;)
    {
      guint8 info[256]; /* struct ptrace_syscall_info: the first byte tells at which end of the call */
      int status;

      if (ptrace (PTRACE_SYSCALL, call->pid, NULL, (gpointer) (gsize) deliver) < 0)
        return pv_throw_errno (error, errno, "cannot let process %d run", call->pid);
      if (!wait_stop (call, &status, error))
        return FALSE;
      deliver = signal_of (status);
      if (WSTOPSIG (status) != (SIGTRAP | 0x80) || status >> 16 != 0)
        continue;
      if (ptrace (PTRACE_GET_SYSCALL_INFO, call->pid, sizeof info, info) < 0
          || ptrace (PTRACE_GETREGS, call->pid, NULL, regs) < 0)
        return pv_throw_errno (error, errno, "cannot look at process %d", call->pid);
      if (info[0] == PTRACE_SYSCALL_INFO_EXIT && regs->rip == call->gadget + 2 && regs->rsp == frame->address)
        return TRUE;
    }
}

static gboolean
take_over (Call *call, const struct user_regs_struct *regs, GError **error)
{
  gint64 result = (gint64) regs->rax;

  if (result < 0)
    return pv_throw_errno (error, (int) -result, "the system call in process %d failed", call->pid);
  call->fd = (int) syscall (SYS_pidfd_getfd, call->pidfd, (int) result, 0);
  return call->fd >= 0 || pv_throw_errno (error, errno, "cannot take over a descriptor of process %d", call->pid);
}

/* The thread is stopped. Until the frame is wholly written and send_away() has set the registers nothing has changed;
 * from then on all roads lead through the frame. */
static gboolean
call_stopped (Call *call, GError **error)
{
  static PvRemoteFrame frame; /* under the lock of pv_remote_call() */
  struct user_regs_struct regs;
  struct iovec local, remote;
  gboolean ok;

  if (ptrace (PTRACE_GETREGS, call->pid, NULL, &regs) < 0)
    return pv_throw_errno (error, errno, "cannot read the registers of process %d", call->pid);
  if (!check_place (call, &regs, error) || !pv_remote_frame_make (call->pid, &regs, call->restorer, &frame, error))
    return FALSE;
  local = (struct iovec){ frame.bytes, frame.size };
  remote = (struct iovec){ (gpointer) (gsize) frame.address, frame.size };
  if (process_vm_writev (call->pid, &local, 1, &remote, 1, 0) != (ssize_t) frame.size)
    return pv_throw_errno (error, errno, "cannot write below the stack of process %d", call->pid);
  if (!send_away (call, &regs, &frame, (guint64) call->number, call->argument, error)
      || !run_to_exit (call, &frame, &regs, error))
    return FALSE;
  ok = take_over (call, &regs, error);
  return (gint64) regs.rax < 0 ? ok : send_away (call, &regs, &frame, SYS_close, regs.rax, ok ? error : NULL) && ok;
}

static gpointer
trace (gpointer data)
{
  Call *call = data;

  if (ptrace (PTRACE_SEIZE, call->pid, NULL, PTRACE_O_TRACESYSGOOD) < 0)
    {
      if (errno == ESRCH)
        pv_throw (&call->error, PV_ERROR_NOT_FOUND, "process %d has ended", call->pid);
      else
        pv_throw_errno (&call->error, errno, "may not trace process %d", call->pid);
      return NULL;
    }
  for (guint i = 0; i < TRIES; i++)
    {
      g_clear_error (&call->error);
      if (!stop_thread (call, &call->error))
        return NULL;
      if (call_stopped (call, &call->error) || !g_error_matches (call->error, PV_ERROR, PV_ERROR_BUSY))
        break;
      ptrace (PTRACE_CONT, call->pid, NULL, NULL);
      g_usleep (500);
    }
  ptrace (PTRACE_DETACH, call->pid, NULL, NULL);
  return NULL;
}

int
pv_remote_call (int pid, int pidfd, long number, guint64 argument, GError **error)
{
  static GMutex lock;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);
  Call call = { .pid = pid, .pidfd = pidfd, .number = number, .argument = argument, .fd = PV_FD_NONE };

  if (!read_map (&call, error))
    return -1;
  /* A thread of its own: what it traces is let go when it ends, even when it could not be stopped. */
  g_thread_join (g_thread_new ("trace", trace, &call));
  if (call.error != NULL)
    {
      pv_fd_clear (&call.fd);
      g_propagate_error (error, call.error);
    }
  return call.fd;
}

/* A libnvidia-ml.so.1 that behaves as the environment says, for the tests of core/memory/nvml.py.
 *
 * FAKE_GPUS          number of cards (default 1)
 * FAKE_INIT          NVML code that nvmlInitWithFlags returns (9 driver not loaded, 18 version mismatch, ...)
 * FAKE_NO_V2         the second form of the memory struct is refused, as by an old driver
 * FAKE_NA            every optional field answers "not supported"
 * FAKE_DENIED        every field answers "no permission"
 * FAKE_MIG           card 0 is split into two instances
 * FAKE_LOST_AFTER    card 1 is lost after so many memory readings
 * FAKE_SHARED        memory is not supported, as on boards that share it with the host
 * FAKE_SLEEP_MS      a memory reading takes this long
 * FAKE_VIRTUAL       the virtualisation mode that is answered (1 passed through, 2 a virtual GPU)
 * FAKE_GARBAGE       the size that the second process is given, as by a driver that mixes the struct forms
 *
 * Compiled with -DOLD it lacks the functions that old drivers lack.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void *Device;
typedef struct { unsigned long long total, free, used; } MemoryV1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu, compute; } Process;
typedef struct { unsigned gpu, memory; } Rates;

#define GIB (1ULL << 30)
#define OK 0
#define NOT_SUPPORTED 3
#define NO_PERMISSION 4
#define SMALL 7
#define LOST 15
#define CARD(i) ((Device)(long)((i) + 1))
#define PART(i) ((Device)(long)((i) + 1001))

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}
static int readings;
static int index_of(Device device) { return (int)(long)device - 1; }
static int is_part(Device device) { return (long)device > 1000; }
static int lost(Device device) {
    long after = number("FAKE_LOST_AFTER", -1);
    return index_of(device) == 1 && after >= 0 && readings > after;
}
static int optional(Device device) {
    if (lost(device)) return LOST;
    if (getenv("FAKE_DENIED")) return NO_PERMISSION;
    return getenv("FAKE_NA") ? NOT_SUPPORTED : OK;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return (int)number("FAKE_INIT", OK); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the fake driver"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { snprintf(out, size, "580.1"); return OK; }
int nvmlDeviceGetCount_v2(unsigned *out) { *out = (unsigned)number("FAKE_GPUS", 1); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *out) {
    if (lost(CARD(index))) return LOST;
    *out = CARD(index);
    return OK;
}
int nvmlDeviceGetName(Device device, char *out, unsigned size) {
    if (lost(device)) return LOST;
    snprintf(out, size, is_part(device) ? "Fake A100 MIG 1g.10gb" : "Fake A100 80GB");
    return OK;
}
int nvmlDeviceGetUUID(Device device, char *out, unsigned size) {
    if (lost(device)) return LOST;
    snprintf(out, size, is_part(device) ? "MIG-%d" : "GPU-%d0000000-aaaa", is_part(device) ? (int)(long)device - 1001 : index_of(device));
    return OK;
}
static unsigned long long total_of(Device device) { return is_part(device) ? 10 * GIB : 80 * GIB; }
int nvmlDeviceGetMemoryInfo(Device device, MemoryV1 *out) {
    readings++;
    usleep(1000 * (unsigned)number("FAKE_SLEEP_MS", 0));
    if (lost(device)) return LOST;
    if (getenv("FAKE_SHARED")) return NOT_SUPPORTED;
    out->total = total_of(device);
    out->used = 3 * GIB;
    out->free = out->total - out->used;
    return OK;
}
#ifndef OLD
int nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *out) {
    readings++;
    usleep(1000 * (unsigned)number("FAKE_SLEEP_MS", 0));
    if (lost(device)) return LOST;
    if (getenv("FAKE_SHARED")) return NOT_SUPPORTED;
    if (getenv("FAKE_NO_V2")) return 25;
    if (out->version != 0x02000028) return 25;
    out->total = total_of(device);
    out->reserved = GIB / 2;
    out->used = 5 * GIB / 2;
    out->free = out->total - out->reserved - out->used;
    return OK;
}
int nvmlDeviceGetVirtualizationMode(Device device, unsigned *out) {
    *out = (unsigned)number("FAKE_VIRTUAL", 0);
    return optional(device);
}
#endif
int nvmlDeviceGetUtilizationRates(Device device, Rates *out) {
    int code = optional(device);
    if (code == OK) { out->gpu = 87; out->memory = 12; }
    return code;
}
int nvmlDeviceGetTemperature(Device device, int sensor, unsigned *out) {
    (void)sensor;
    *out = 55;
    return optional(device);
}
int nvmlDeviceGetPowerUsage(Device device, unsigned *out) { *out = 250000; return optional(device); }
int nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned *out) { *out = 400000; return optional(device); }
int nvmlDeviceGetMigMode(Device device, unsigned *now, unsigned *then) {
    *now = *then = getenv("FAKE_MIG") && index_of(device) == 0;
    return getenv("FAKE_MIG") ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *out) { (void)device; *out = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *out) {
    (void)device;
    if (index > 1) return 6;
    *out = PART(index);
    return OK;
}
#ifdef OLD
#define PROCESSES nvmlDeviceGetComputeRunningProcesses_v2
#else
#define PROCESSES nvmlDeviceGetComputeRunningProcesses_v3
#endif
/* The caller's own pid with 1 GiB; a pid of another namespace; and a size the driver does not know. */
int PROCESSES(Device device, unsigned *count, Process *out) {
    int code = optional(device);
    if (code != OK) return code;
    if (*count < 3 || !out) { *count = 3; return SMALL; }
    *count = 3;
    out[0] = (Process){(unsigned)getpid(), GIB, 0, 0};
    out[1] = (Process){4194301, (unsigned long long)number("FAKE_GARBAGE", GIB / 4), 0, 0};
    out[2] = (Process){(unsigned)getpid(), ~0ULL, 0, 0};
    return OK;
}

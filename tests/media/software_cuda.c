/* A graphics card in software: as much of NVIDIA's driver as FFmpeg's filters on the card call.
 *
 * FFmpeg loads it as libcuda.so.1 and runs its own code for frames of a card: graphs are set up, frames are uploaded,
 * passed on, copied and counted as on a card. Only the kernels are ours, found by their names: they scale, pad and
 * overlay 8-bit planes. How a real card rounds can't be seen with it, and neither its decoder nor its encoder.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_DEVICE = 101, NOT_SUPPORTED = 801, HOST = 1 };

typedef unsigned long long Pointer;

typedef struct {
    size_t src_x, src_y; int src_type; const void *src_host; Pointer src_device; void *src_array; size_t src_pitch;
    size_t dst_x, dst_y; int dst_type; void *dst_host; Pointer dst_device; void *dst_array; size_t dst_pitch;
    size_t width, height;
} Copy;

typedef struct {
    int type;
    union {
        struct { Pointer data; int format; unsigned channels; size_t width, height, pitch; } plane;
        int reserved[32];
    } of;
    unsigned flags;
} Texture;

typedef struct {
    Pointer textures[4], planes[4];
    int width, height, pitch, left, top, src_width, src_height;
} Scaling;

static int context;

static void *at(Pointer pointer) { return (void *)(uintptr_t)pointer; }

int cuInit(unsigned flags) { return SUCCESS; }
int cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
int cuDeviceGet(int *device, int number) { *device = 0; return number ? INVALID_DEVICE : SUCCESS; }
int cuDeviceGetName(char *name, int room, int device) { snprintf(name, room, "Software"); return SUCCESS; }
int cuDeviceGetUuid(char *uuid, int device) { memset(uuid, 7, 16); return SUCCESS; }
int cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, 7, 16); return SUCCESS; }
int cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 8; *minor = 6; return SUCCESS; }
int cuDeviceGetAttribute(int *value, int which, int device)
{
    *value = which == 14 /* alignment of textures */ ? 512 : which == 75 ? 8 : which == 76 ? 6 : 1;
    return SUCCESS;
}
int cuCtxCreate_v2(void **made, unsigned flags, int device) { *made = &context; return SUCCESS; }
int cuCtxDestroy_v2(void *which) { return SUCCESS; }
int cuCtxPushCurrent_v2(void *which) { return SUCCESS; }
int cuCtxPopCurrent_v2(void **which) { *which = &context; return SUCCESS; }
int cuCtxGetCurrent(void **which) { *which = &context; return SUCCESS; }
int cuCtxGetDevice(int *device) { *device = 0; return SUCCESS; }
int cuCtxSetLimit(int which, size_t value) { return SUCCESS; }
int cuCtxSynchronize(void) { return SUCCESS; }
int cuStreamCreate(void **stream, unsigned flags) { *stream = &context; return SUCCESS; }
int cuStreamDestroy_v2(void *stream) { return SUCCESS; }
int cuStreamQuery(void *stream) { return SUCCESS; }
int cuStreamSynchronize(void *stream) { return SUCCESS; }
int cuGetErrorName(int error, const char **name) { *name = "CUDA_ERROR_NOT_SUPPORTED"; return SUCCESS; }
int cuGetErrorString(int error, const char **text) { *text = "not in software"; return SUCCESS; }

int cuMemAlloc_v2(Pointer *made, size_t size) { *made = (uintptr_t)calloc(1, size + 4096); return SUCCESS; }
int cuMemFree_v2(Pointer which) { free(at(which)); return SUCCESS; }
int cuMemcpyHtoD_v2(Pointer to, const void *from, size_t size) { memcpy(at(to), from, size); return SUCCESS; }
int cuMemcpy2D_v2(const Copy *copy)
{
    const char *from = copy->src_type == HOST ? copy->src_host : at(copy->src_device);
    char *to = copy->dst_type == HOST ? copy->dst_host : at(copy->dst_device);
    for (size_t y = 0; y < copy->height; y++)
        memcpy(to + copy->dst_x + (copy->dst_y + y) * copy->dst_pitch,
               from + copy->src_x + (copy->src_y + y) * copy->src_pitch, copy->width);
    return SUCCESS;
}
int cuMemcpy2DAsync_v2(const Copy *copy, void *stream) { return cuMemcpy2D_v2(copy); }

int cuModuleLoadData(void **module, const void *image) { *module = &context; return SUCCESS; }
int cuModuleUnload(void *module) { return SUCCESS; }
int cuModuleGetFunction(const char **function, void *module, const char *name)
{
    *function = strdup(name);
    return SUCCESS;
}
int cuTexObjectCreate(Pointer *made, const Texture *texture, const void *how, const void *view)
{
    Texture *own = malloc(sizeof *own);
    *own = *texture;
    *made = (uintptr_t)own;
    return SUCCESS;
}
int cuTexObjectDestroy(Pointer which) { free(at(which)); return SUCCESS; }

static int within(int value, int count) { return value < 0 ? 0 : value >= count ? count - 1 : value; }

static float sample(const Texture *texture, int x, int y, int channel)
{
    x = within(x, texture->of.plane.width);
    y = within(y, texture->of.plane.height);
    const unsigned char *data = at(texture->of.plane.data);
    return data[y * texture->of.plane.pitch + x * texture->of.plane.channels + channel];
}

static float cubic(float t)
{
    t = t < 0 ? -t : t;
    return t < 1 ? (1.5f * t - 2.5f) * t * t + 1 : t < 2 ? ((-.5f * t + 2.5f) * t - 4) * t + 2 : 0;
}

static void scale_plane(const Texture *from, int channel, const Scaling *how, unsigned char *to, int nearest)
{
    float step_x = (float)how->src_width / how->width, step_y = (float)how->src_height / how->height;
    for (int y = 0; y < how->height; y++)
        for (int x = 0; x < how->width; x++) {
            float at_x = (x + .5f) * step_x - .5f, at_y = (y + .5f) * step_y - .5f, sum = 0;
            int left = (int)(at_x + 1) - 1, top = (int)(at_y + 1) - 1;
            if (nearest)
                sum = sample(from, (int)(at_x + .5f), (int)(at_y + .5f), channel);
            else
                for (int j = top - 1; j <= top + 2; j++)
                    for (int i = left - 1; i <= left + 2; i++)
                        sum += cubic(j - at_y) * cubic(i - at_x) * sample(from, i, j, channel);
            to[y * how->pitch + x] = sum < 0 ? 0 : sum > 255 ? 255 : (unsigned char)(sum + .5f);
        }
}

static int scale(const char *name, const Scaling *how)
{
    int nearest = strstr(name, "Nearest") != NULL, packed = strstr(name, "_semiplanar8_planar8") != NULL;
    if (strstr(name, "Generic") || !strstr(name, "planar8_planar8"))
        return NOT_SUPPORTED;
    if (!strstr(name, "_uv"))
        scale_plane(at(how->textures[0]), 0, how, at(how->planes[0]), nearest);
    else
        for (int plane = 1; plane < 3; plane++)
            scale_plane(at(how->textures[packed ? 1 : plane]), packed ? plane - 1 : 0, how, at(how->planes[plane]), nearest);
    return SUCCESS;
}

#define INT(n) (*(int *)arguments[n])
#define BYTES(n) ((unsigned char *)at(*(Pointer *)arguments[n]))

static int pad(void **arguments)
{
    unsigned char *to = BYTES(0), *from = BYTES(4), colour = *(unsigned char *)arguments[10];
    int width = INT(2), height = INT(3), in_width = INT(6), in_height = INT(7), left = INT(8), top = INT(9);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int inside = x >= left && x < left + in_width && y >= top && y < top + in_height;
            to[y * INT(1) + x] = inside ? from[(y - top) * INT(5) + x - left] : colour;
        }
    return SUCCESS;
}

static int overlay(void **arguments, int width, int height)
{
    int left = INT(0), top = INT(1), alpha_pitch = INT(9);
    unsigned char *main = BYTES(2), *over = BYTES(4), *alphas = BYTES(8);
    for (int y = 0; y < INT(7) && y + top < height; y++)
        for (int x = 0; x < INT(6) && x + left < width; x++) {
            float alpha = alpha_pitch ? alphas[INT(10) * x + INT(11) * y * alpha_pitch] / 255.f : 1;
            unsigned char *to = main + x + left + (y + top) * INT(3);
            *to = alpha * over[x + y * INT(5)] + (1 - alpha) * *to;
        }
    return SUCCESS;
}

int cuLaunchKernel(const char *name, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **arguments, void **extra)
{
    if (!strncmp(name, "Subsample_", 10))
        return scale(name, arguments[0]);
    if (!strcmp(name, "pad_uchar"))
        return pad(arguments);
    if (!strcmp(name, "Overlay_Cuda"))
        return overlay(arguments, grid_x * block_x, grid_y * block_y);
    return NOT_SUPPORTED;
}

/* What FFmpeg looks for and our graphs never call. */
#define NEVER(name) int name(void) { return NOT_SUPPORTED; }
NEVER(cuArray3DCreate_v2) NEVER(cuArray3DGetDescriptor_v2) NEVER(cuArrayCreate_v2) NEVER(cuArrayDestroy)
NEVER(cuArrayGetPlane) NEVER(cuCtxGetStreamPriorityRange) NEVER(cuDestroyExternalMemory)
NEVER(cuDestroyExternalSemaphore) NEVER(cuDeviceGetByPCIBusId) NEVER(cuDeviceGetLuid) NEVER(cuDeviceGetPCIBusId)
NEVER(cuDevicePrimaryCtxGetState) NEVER(cuDevicePrimaryCtxRelease) NEVER(cuDevicePrimaryCtxReset)
NEVER(cuDevicePrimaryCtxRetain) NEVER(cuDevicePrimaryCtxSetFlags) NEVER(cuEGLStreamConsumerDisconnect)
NEVER(cuEGLStreamProducerConnect) NEVER(cuEGLStreamProducerDisconnect) NEVER(cuEGLStreamProducerPresentFrame)
NEVER(cuEGLStreamProducerReturnFrame) NEVER(cuEventCreate) NEVER(cuEventDestroy_v2) NEVER(cuEventQuery)
NEVER(cuEventRecord) NEVER(cuEventSynchronize) NEVER(cuExternalMemoryGetMappedBuffer)
NEVER(cuExternalMemoryGetMappedMipmappedArray) NEVER(cuGLGetDevices_v2) NEVER(cuGraphicsGLRegisterImage)
NEVER(cuGraphicsMapResources) NEVER(cuGraphicsResourceGetMappedPointer_v2) NEVER(cuGraphicsSubResourceGetMappedArray)
NEVER(cuGraphicsUnmapResources) NEVER(cuGraphicsUnregisterResource) NEVER(cuImportExternalMemory)
NEVER(cuImportExternalSemaphore) NEVER(cuLaunchHostFunc) NEVER(cuLinkAddData) NEVER(cuLinkComplete)
NEVER(cuLinkCreate) NEVER(cuLinkDestroy) NEVER(cuMemAllocAsync) NEVER(cuMemAllocManaged) NEVER(cuMemAllocPitch_v2)
NEVER(cuMemFreeAsync) NEVER(cuMemFreeHost) NEVER(cuMemHostAlloc) NEVER(cuMemcpy) NEVER(cuMemcpyAsync)
NEVER(cuMemcpyDtoDAsync_v2) NEVER(cuMemcpyDtoD_v2) NEVER(cuMemcpyDtoHAsync_v2) NEVER(cuMemcpyDtoH_v2)
NEVER(cuMemcpyHtoDAsync_v2) NEVER(cuMemsetD16Async) NEVER(cuMemsetD2D16Async) NEVER(cuMemsetD2D32Async)
NEVER(cuMemsetD2D8Async) NEVER(cuMemsetD32Async) NEVER(cuMemsetD8Async) NEVER(cuMipmappedArrayDestroy)
NEVER(cuMipmappedArrayGetLevel) NEVER(cuModuleGetGlobal) NEVER(cuSignalExternalSemaphoresAsync)
NEVER(cuStreamAddCallback) NEVER(cuStreamCreateWithPriority) NEVER(cuStreamWaitEvent)
NEVER(cuWaitExternalSemaphoresAsync)

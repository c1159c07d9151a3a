/* Lets Chromium's WebGPU run on Mesa's lavapipe, which knows f16 in shaders; SwiftShader, the only adapter on a CPU that Chromium takes,
 * does not. Put in the place of Chromium's libvk_swiftshader.so it hands every call on to the driver that LAVAPIPE names, and changes two
 * answers: who the device is, and that arrays of bindings may be indexed by variables, which Dawn asks for and no kernel here does.
 * Structures are read by their offsets, so that no headers need be installed. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*GetProc)(void *instance, const char *name);
typedef void (*Ask)(void *device, void *answer);

typedef int (*Create)(void *physical, const void *info, const void *allocator, void *device);

static Ask ask_properties, ask_properties2, ask_features, ask_features2;
static Create create;

static GetProc driver(void) {
    static GetProc found;
    if (found) return found;
    const char *path = getenv("LAVAPIPE");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "vulkan_shim: %s\n", path ? dlerror() : "LAVAPIPE is not set");
        return NULL;
    }
    int (*negotiate)(uint32_t *version) = dlsym(library, "vk_icdNegotiateLoaderICDInterfaceVersion");
    uint32_t version = 5;
    if (negotiate) negotiate(&version);
    return found = (GetProc)dlsym(library, "vk_icdGetInstanceProcAddr");
}

/* VkPhysicalDeviceProperties: apiVersion, driverVersion, vendorID, deviceID, deviceType (4: a CPU), deviceName. */
static void rename_device(uint32_t *properties) {
    properties[2] = 0x1AE0;
    properties[3] = 0xC0DE;
    properties[4] = 4;
    strcpy((char *)(properties + 5), "SwiftShader Device (lavapipe)");
}

/* VkPhysicalDeviceFeatures: dynamic indexing of uniform buffers, sampled images, storage buffers and storage images. */
static void set_indexing(uint32_t *features, uint32_t value) {
    features[33] = features[34] = features[35] = features[36] = value;
}

/* The structures with a 2 at the end of their names have a type and a pointer before all else. */
static void properties(void *device, void *answer) { ask_properties(device, answer); rename_device(answer); }
static void properties2(void *device, void *answer) { ask_properties2(device, answer); rename_device((uint32_t *)((char *)answer + 16)); }
static void features(void *device, void *answer) { ask_features(device, answer); set_indexing(answer, 1); }
static void features2(void *device, void *answer) { ask_features2(device, answer); set_indexing((uint32_t *)((char *)answer + 16), 1); }

/* The driver must not be asked for what it was only said to have: neither in VkDeviceCreateInfo's last field nor in a
 * VkPhysicalDeviceFeatures2 (type 1000059000) of the chain that its second begins. */
static int create_device(void *physical, const void *info, const void *allocator, void *device) {
    uint32_t *enabled = *(uint32_t *const *)((const char *)info + 64);
    if (enabled) set_indexing(enabled, 0);
    for (char *next = *(char *const *)((const char *)info + 8); next; next = *(char **)(next + 8)) {
        if (*(uint32_t *)next == 1000059000) set_indexing((uint32_t *)(next + 16), 0);
    }
    return create(physical, info, allocator, device);
}

static Function instead(Function original, Ask *kept, Ask ours) {
    *kept = (Ask)original;
    return (Function)ours;
}

__attribute__((visibility("default"))) Function vkGetInstanceProcAddr(void *instance, const char *name) {
    GetProc get = driver();
    if (!get) return NULL;
    if (!strcmp(name, "vkGetInstanceProcAddr")) return (Function)vkGetInstanceProcAddr;
    Function function = get(instance, name);
    if (!function) return NULL;
    if (!strcmp(name, "vkGetPhysicalDeviceProperties")) return instead(function, &ask_properties, properties);
    if (!strncmp(name, "vkGetPhysicalDeviceProperties2", 30)) return instead(function, &ask_properties2, properties2);
    if (!strcmp(name, "vkGetPhysicalDeviceFeatures")) return instead(function, &ask_features, features);
    if (!strncmp(name, "vkGetPhysicalDeviceFeatures2", 28)) return instead(function, &ask_features2, features2);
    if (!strcmp(name, "vkCreateDevice")) {
        create = (Create)function;
        return (Function)create_device;
    }
    return function;
}

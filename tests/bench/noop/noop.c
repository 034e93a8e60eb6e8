/* A Triton backend that computes nothing: each request is answered at once with zeros.
 *
 * It shows what the server alone costs. Only what is used of Triton's backend API (C, version 1.x; triton/core/tritonbackend.h) is declared
 * here, since the wheel that holds the server has no headers. OUTPUT_NAME and OUTPUT_SIZE are given on the compiler's command line.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef struct TRITONSERVER_Error TRITONSERVER_Error;
typedef struct TRITONBACKEND_ModelInstance TRITONBACKEND_ModelInstance;
typedef struct TRITONBACKEND_Request TRITONBACKEND_Request;
typedef struct TRITONBACKEND_Response TRITONBACKEND_Response;
typedef struct TRITONBACKEND_Input TRITONBACKEND_Input;
typedef struct TRITONBACKEND_Output TRITONBACKEND_Output;

enum { TYPE_FP32 = 11, MEMORY_CPU = 0, RELEASE_ALL = 1, COMPLETE_FINAL = 1 };

TRITONSERVER_Error *TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request *, uint32_t, TRITONBACKEND_Input **);
TRITONSERVER_Error *TRITONBACKEND_InputProperties(TRITONBACKEND_Input *, const char **, int *, const int64_t **, uint32_t *, uint64_t *, uint32_t *);
TRITONSERVER_Error *TRITONBACKEND_ResponseNew(TRITONBACKEND_Response **, TRITONBACKEND_Request *);
TRITONSERVER_Error *TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response *, TRITONBACKEND_Output **, const char *, int, const int64_t *, uint32_t);
TRITONSERVER_Error *TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output *, void **, uint64_t, int *, int64_t *);
TRITONSERVER_Error *TRITONBACKEND_ResponseSend(TRITONBACKEND_Response *, uint32_t, TRITONSERVER_Error *);
TRITONSERVER_Error *TRITONBACKEND_RequestRelease(TRITONBACKEND_Request *, uint32_t);
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance *, TRITONBACKEND_Request *, bool, uint64_t, uint64_t, uint64_t, uint64_t);
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static TRITONSERVER_Error *answer(TRITONBACKEND_Request *request)
{
    TRITONBACKEND_Input *input;
    TRITONBACKEND_Response *response;
    TRITONBACKEND_Output *output;
    TRITONSERVER_Error *error;
    const int64_t *dims;
    void *buffer;
    int memory_type = MEMORY_CPU;
    int64_t memory_id = 0;

    if ((error = TRITONBACKEND_RequestInputByIndex(request, 0, &input)))
        return error;
    if ((error = TRITONBACKEND_InputProperties(input, NULL, NULL, &dims, NULL, NULL, NULL)))
        return error;
    if ((error = TRITONBACKEND_ResponseNew(&response, request)))
        return error;
    const int64_t shape[2] = {dims[0], OUTPUT_SIZE};
    const uint64_t size_bytes = (uint64_t)dims[0] * OUTPUT_SIZE * sizeof(float);
    if (!(error = TRITONBACKEND_ResponseOutput(response, &output, OUTPUT_NAME, TYPE_FP32, shape, 2))
        && !(error = TRITONBACKEND_OutputBuffer(output, &buffer, size_bytes, &memory_type, &memory_id)))
        memset(buffer, 0, size_bytes);
    return TRITONBACKEND_ResponseSend(response, COMPLETE_FINAL, error);
}

__attribute__((visibility("default"))) TRITONSERVER_Error *
TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, const uint32_t count)
{
    TRITONSERVER_Error *error = NULL;
    const uint64_t start_ns = now_ns();
    for (uint32_t i = 0; i < count && !error; i++)
        error = answer(requests[i]);
    const uint64_t end_ns = now_ns();
    /* On an error the requests stay the server's. */
    for (uint32_t i = 0; i < count && !error; i++) {
        TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, start_ns, start_ns, end_ns, end_ns);
        TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
    }
    /* perf_analyzer wants statistics; one request is one row here. */
    TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start_ns, start_ns, end_ns, end_ns);
    return error;
}

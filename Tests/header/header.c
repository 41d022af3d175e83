/* Included twice, before anything else: the header brings what it needs and guards itself. */
#include <adadiff.h>
#include <adadiff.h>

/* Bindings that do not read the header rely on these sizes and values (LP64). */
#define REQUIRE(name, condition) typedef char require_##name[(condition) ? 1 : -1]

REQUIRE(tensor_size, sizeof(adadiff_tensor) == 48);
REQUIRE(progress_size, sizeof(adadiff_progress) >= 56);
REQUIRE(preview_size, sizeof(adadiff_preview) >= 88);
REQUIRE(option_info_size, sizeof(adadiff_option_info) >= 64);
REQUIRE(tensor_data_offset, offsetof(adadiff_tensor, data) == 32);
REQUIRE(status_size, sizeof(adadiff_status) == 4);
REQUIRE(status_internal, ADADIFF_INTERNAL == 15);
REQUIRE(type_bool, ADADIFF_TYPE_BOOL == 9);
REQUIRE(type_bfloat16, ADADIFF_TYPE_BFLOAT16 == 16);
REQUIRE(abi, ADADIFF_ABI_VERSION == 1);

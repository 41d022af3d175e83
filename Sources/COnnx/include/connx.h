// A flat, read-only C face on libonnx's protobuf classes. No exception and no C++ type leaves it.
//
// A `connx_file` owns everything parsed from one buffer; every other handle, pointer and text is borrowed from it and
// valid until `connx_file_free`. Reading is safe from several threads. Indices must lie below the matching count.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct connx_file connx_file;
typedef struct connx_graph connx_graph;
typedef struct connx_node connx_node;
typedef struct connx_attribute connx_attribute;
typedef struct connx_tensor connx_tensor;
typedef struct connx_sparse connx_sparse;
typedef struct connx_value_info connx_value_info;
typedef struct connx_type connx_type;
typedef struct connx_function connx_function;
typedef struct connx_sequence connx_sequence;
typedef struct connx_optional connx_optional;

/// Bytes that are not terminated; `data` may be NULL when `size` is 0.
typedef struct {
  const char *data;
  size_t size;
} connx_text;

/// A borrowed array of `count` elements.
typedef struct {
  const void *data;
  size_t count;
} connx_array;

typedef enum {
  CONNX_MODEL = 0,
  CONNX_TENSOR = 1,
  CONNX_SEQUENCE = 2,
  CONNX_OPTIONAL = 3,
} connx_kind;

/// Parses `size` bytes as one message of `kind`. NULL: not such a message, too large (2 GiB and more) or out of memory.
/// The bytes are copied and may go away afterwards.
connx_file *connx_file_parse(const void *bytes, size_t size, connx_kind kind);
void connx_file_free(connx_file *file);

// Model.
int64_t connx_model_ir_version(const connx_file *file);
connx_text connx_model_producer(const connx_file *file);
const connx_graph *connx_model_graph(const connx_file *file);  // NULL when absent
size_t connx_model_opset_count(const connx_file *file);
connx_text connx_model_opset_domain(const connx_file *file, size_t index);
int64_t connx_model_opset_version(const connx_file *file, size_t index);
size_t connx_model_metadata_count(const connx_file *file);
connx_text connx_model_metadata_key(const connx_file *file, size_t index);
connx_text connx_model_metadata_value(const connx_file *file, size_t index);
size_t connx_model_function_count(const connx_file *file);
const connx_function *connx_model_function(const connx_file *file, size_t index);

// Lone tensor, sequence, optional.
const connx_tensor *connx_file_tensor(const connx_file *file);
const connx_sequence *connx_file_sequence(const connx_file *file);
const connx_optional *connx_file_optional(const connx_file *file);
/// Element kind as onnx-data.proto numbers it: 1 tensor, 2 sparse tensor, 3 sequence, 4 map, 5 optional.
int32_t connx_sequence_kind(const connx_sequence *sequence);
size_t connx_sequence_count(const connx_sequence *sequence);
const connx_tensor *connx_sequence_tensor(const connx_sequence *sequence, size_t index);
const connx_sequence *connx_sequence_sequence(const connx_sequence *sequence, size_t index);
const connx_optional *connx_sequence_optional(const connx_sequence *sequence, size_t index);
int32_t connx_optional_kind(const connx_optional *optional);
const connx_tensor *connx_optional_tensor(const connx_optional *optional);      // NULL when absent
const connx_sequence *connx_optional_sequence(const connx_optional *optional);  // NULL when absent

// Graph.
connx_text connx_graph_name(const connx_graph *graph);
size_t connx_graph_node_count(const connx_graph *graph);
const connx_node *connx_graph_node(const connx_graph *graph, size_t index);
size_t connx_graph_input_count(const connx_graph *graph);
const connx_value_info *connx_graph_input(const connx_graph *graph, size_t index);
size_t connx_graph_output_count(const connx_graph *graph);
const connx_value_info *connx_graph_output(const connx_graph *graph, size_t index);
size_t connx_graph_value_info_count(const connx_graph *graph);
const connx_value_info *connx_graph_value_info(const connx_graph *graph, size_t index);
size_t connx_graph_initializer_count(const connx_graph *graph);
const connx_tensor *connx_graph_initializer(const connx_graph *graph, size_t index);
size_t connx_graph_sparse_initializer_count(const connx_graph *graph);
const connx_sparse *connx_graph_sparse_initializer(const connx_graph *graph, size_t index);

// Node.
connx_text connx_node_name(const connx_node *node);
connx_text connx_node_operator_type(const connx_node *node);
connx_text connx_node_domain(const connx_node *node);
/// Which of several functions with the same domain and name is called (IR 10); empty in most models.
connx_text connx_node_overload(const connx_node *node);
size_t connx_node_input_count(const connx_node *node);
connx_text connx_node_input(const connx_node *node, size_t index);
size_t connx_node_output_count(const connx_node *node);
connx_text connx_node_output(const connx_node *node, size_t index);
size_t connx_node_attribute_count(const connx_node *node);
const connx_attribute *connx_node_attribute(const connx_node *node, size_t index);

// Attribute. `kind` is AttributeProto.AttributeType, inferred from the set field where a file leaves it out.
connx_text connx_attribute_name(const connx_attribute *attribute);
int32_t connx_attribute_kind(const connx_attribute *attribute);
/// Name of the enclosing function's attribute that this one stands for, or empty.
connx_text connx_attribute_reference(const connx_attribute *attribute);
int64_t connx_attribute_int(const connx_attribute *attribute);
float connx_attribute_float(const connx_attribute *attribute);
connx_text connx_attribute_string(const connx_attribute *attribute);
const connx_tensor *connx_attribute_tensor(const connx_attribute *attribute);
const connx_sparse *connx_attribute_sparse(const connx_attribute *attribute);
const connx_graph *connx_attribute_graph(const connx_attribute *attribute);
const connx_type *connx_attribute_type(const connx_attribute *attribute);
connx_array connx_attribute_ints(const connx_attribute *attribute);    // int64_t
connx_array connx_attribute_floats(const connx_attribute *attribute);  // float
size_t connx_attribute_string_count(const connx_attribute *attribute);
connx_text connx_attribute_string_at(const connx_attribute *attribute, size_t index);
size_t connx_attribute_tensor_count(const connx_attribute *attribute);
const connx_tensor *connx_attribute_tensor_at(const connx_attribute *attribute, size_t index);
size_t connx_attribute_graph_count(const connx_attribute *attribute);
const connx_graph *connx_attribute_graph_at(const connx_attribute *attribute, size_t index);

// Tensor.
connx_text connx_tensor_name(const connx_tensor *tensor);
int32_t connx_tensor_data_type(const connx_tensor *tensor);
connx_array connx_tensor_dims(const connx_tensor *tensor);  // int64_t
bool connx_tensor_has_raw_data(const connx_tensor *tensor);
connx_text connx_tensor_raw_data(const connx_tensor *tensor);
connx_array connx_tensor_float_data(const connx_tensor *tensor);   // float
connx_array connx_tensor_int32_data(const connx_tensor *tensor);   // int32_t
connx_array connx_tensor_int64_data(const connx_tensor *tensor);   // int64_t
connx_array connx_tensor_double_data(const connx_tensor *tensor);  // double
connx_array connx_tensor_uint64_data(const connx_tensor *tensor);  // uint64_t
size_t connx_tensor_string_count(const connx_tensor *tensor);
connx_text connx_tensor_string(const connx_tensor *tensor, size_t index);
bool connx_tensor_is_external(const connx_tensor *tensor);
bool connx_tensor_has_segment(const connx_tensor *tensor);
size_t connx_tensor_external_count(const connx_tensor *tensor);
connx_text connx_tensor_external_key(const connx_tensor *tensor, size_t index);
connx_text connx_tensor_external_value(const connx_tensor *tensor, size_t index);

// Sparse tensor (coordinates and values).
const connx_tensor *connx_sparse_values(const connx_sparse *sparse);
const connx_tensor *connx_sparse_indices(const connx_sparse *sparse);
connx_array connx_sparse_dims(const connx_sparse *sparse);  // int64_t

// Value info and types.
connx_text connx_value_info_name(const connx_value_info *info);
const connx_type *connx_value_info_type(const connx_value_info *info);  // NULL when absent

typedef enum {
  CONNX_TYPE_UNKNOWN = 0,
  CONNX_TYPE_TENSOR = 1,
  CONNX_TYPE_SEQUENCE = 2,
  CONNX_TYPE_MAP = 3,
  CONNX_TYPE_OPTIONAL = 4,
  CONNX_TYPE_SPARSE_TENSOR = 5,
  CONNX_TYPE_OPAQUE = 6,
} connx_type_kind;

connx_type_kind connx_type_get_kind(const connx_type *type);
int32_t connx_type_tensor_element(const connx_type *type);
bool connx_type_tensor_has_shape(const connx_type *type);
size_t connx_type_tensor_rank(const connx_type *type);
/// 0: unknown, 1: `*value` holds the size, 2: `*name` holds the symbol.
int32_t connx_type_tensor_dim(const connx_type *type, size_t index, int64_t *value, connx_text *name);
/// Element type of a sequence or optional; NULL when absent.
const connx_type *connx_type_element(const connx_type *type);

// Model-local function.
connx_text connx_function_name(const connx_function *function);
connx_text connx_function_domain(const connx_function *function);
connx_text connx_function_overload(const connx_function *function);
size_t connx_function_input_count(const connx_function *function);
connx_text connx_function_input(const connx_function *function, size_t index);
size_t connx_function_output_count(const connx_function *function);
connx_text connx_function_output(const connx_function *function, size_t index);
/// Attributes without a default value.
size_t connx_function_attribute_name_count(const connx_function *function);
connx_text connx_function_attribute_name(const connx_function *function, size_t index);
/// Attributes with a default value (IR 9).
size_t connx_function_default_count(const connx_function *function);
const connx_attribute *connx_function_default(const connx_function *function, size_t index);
size_t connx_function_node_count(const connx_function *function);
const connx_node *connx_function_node(const connx_function *function, size_t index);
size_t connx_function_opset_count(const connx_function *function);
connx_text connx_function_opset_domain(const connx_function *function, size_t index);
int64_t connx_function_opset_version(const connx_function *function, size_t index);

#ifdef __cplusplus
}
#endif

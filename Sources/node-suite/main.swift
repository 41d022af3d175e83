// node-suite DIR... [--summary] [--eager] [--only SUBSTRING] [--quiet] [--l2 LIMIT] [--profile] [--threads N]
//
// Runs ONNX backend test cases (folders with model.onnx and test_data_set_*/{input,output}_N.pb). A DIR is one case or a
// folder of cases. Floats are compared as onnx's own runner does, or with `--l2` by relative L2 error. Prints one line per case and totals; the exit status is 1 when any case fails.
import Glibc
import Graph
import Operators
import Runtime
import Support

var folders: [String] = []
var summary = false
var quiet = false
var options = ModelOptions()
var only: String?
var limit: Double?
var profile = false
var arguments = CommandLine.arguments.dropFirst().makeIterator()
while let argument = arguments.next() {
  switch argument {
  case "--summary": summary = true
  case "--quiet": quiet = true
  case "--eager": options.optimized = false
  case "--profile": profile = true
  case "--threads": options.pool = ThreadPool(threads: arguments.next().flatMap { Int($0) } ?? 1)
  case "--l2": limit = arguments.next().flatMap(Double.init)
  case "--only": only = arguments.next()
  default: folders.append(argument)
  }
}
guard !folders.isEmpty else {
  print(
    "usage: node-suite DIR... [--summary] [--eager] [--only SUBSTRING] [--quiet] [--l2 LIMIT] [--profile] [--threads N]"
  )
  exit(2)
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

func entries(of folder: String) -> [String] {
  guard let directory = opendir(folder) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if !name.hasPrefix(".") { names.append(name) }
  }
  return names.sorted()
}

func value(_ stored: StoredValue) -> Value {
  switch stored {
  case .tensor(let tensor): .tensor(tensor)
  case .sequence(let values): .sequence(values.map { value($0) })
  case .optional(let inner): .optional(inner.map { value($0) })
  }
}

enum Outcome {
  case pass
  case fail(String)
  case unsupported(String)
}

func runCase(_ folder: String, options: ModelOptions, limit: Double?, profile: Bool) -> Outcome {
  do {
    let model = try Model(path: folder + "/model.onnx", options: options)
    for set in entries(of: folder) where set.hasPrefix("test_data_set_") {
      let data = folder + "/" + set
      var feeds: [String: Value] = [:]
      for (index, input) in model.inputs.enumerated() {
        let file = "\(data)/input_\(index).pb"
        if exists(file) { feeds[input.name] = value(try StoredValue.read(path: file, as: input.type)) }
      }
      let results = try model.run(values: feeds)
      if profile {
        let profiler = Profiler()
        _ = try model.run(values: feeds, options: RunOptions(profiler: profiler))
        for total in profiler.byOperator {
          let kernel = total.kernel.map { ", \($0)" } ?? ""
          print("  \((total.seconds * 1e5).rounded() / 100) ms  \(total.runs) x \(total.operatorType)\(kernel)")
        }
      }
      for (index, output) in model.outputs.enumerated() {
        let file = "\(data)/output_\(index).pb"
        guard exists(file) else { continue }
        let expected = value(try StoredValue.read(path: file, as: output.type))
        guard let actual = results[output.name] else { return .fail("output '\(output.name)' is missing") }
        if let difference = Comparison.difference(actual, expected, limit: limit) {
          return .fail("output '\(output.name)': \(difference)")
        }
      }
    }
    return .pass
  } catch let failure as Failure {
    var short = failure
    short.file = nil
    return failure.status == .unsupported ? .unsupported("\(short)") : .fail("\(failure.status): \(short)")
  } catch {
    return .fail("\(error)")
  }
}

var cases: [String] = []
for folder in folders {
  if exists(folder + "/model.onnx") {
    cases.append(folder)
  } else {
    cases += entries(of: folder).map { folder + "/" + $0 }.filter { exists($0 + "/model.onnx") }
  }
}
if let only { cases = cases.filter { $0.contains(only) } }

var passed = 0
var failed = 0
var unsupported = 0
var byOperator: [String: (pass: Int, fail: Int, unsupported: Int)] = [:]
for folder in cases {
  let name = folder.split(separator: "/").last.map(String.init) ?? folder
  let outcome = runCase(folder, options: options, limit: limit, profile: profile)
  var counts = (pass: 0, fail: 0, unsupported: 0)
  switch outcome {
  case .pass:
    passed += 1
    counts.pass = 1
    if !quiet { print("PASS \(name)") }
  case .fail(let reason):
    failed += 1
    counts.fail = 1
    print("FAIL \(name): \(reason)")
  case .unsupported(let reason):
    unsupported += 1
    counts.unsupported = 1
    if !quiet { print("UNSUPPORTED \(name): \(reason)") }
  }
  fflush(nil)
  if summary {
    // The case belongs to the operator of its single node, or to all when it has several.
    let operators = (try? ModelLoader.load(path: folder + "/model.onnx")).map {
      Set($0.graph.nodes.map(\.operatorType))
    }
    for type in operators ?? ["(unreadable)"] {
      let known = byOperator[type] ?? (0, 0, 0)
      byOperator[type] = (
        known.pass + counts.pass, known.fail + counts.fail, known.unsupported + counts.unsupported
      )
    }
  }
}
if summary {
  for (type, counts) in byOperator.sorted(by: { $0.key < $1.key }) {
    let state = counts.fail + counts.unsupported == 0 ? "whole" : counts.pass > 0 ? "partial" : "none"
    print("\(state) \(type): \(counts.pass) pass, \(counts.fail) fail, \(counts.unsupported) unsupported")
  }
  let whole = byOperator.values.filter { $0.fail + $0.unsupported == 0 }.count
  print("\(whole) of \(byOperator.count) operators whole")
}
print("\(passed) passed, \(failed) failed, \(unsupported) unsupported of \(cases.count)")
exit(failed == 0 ? 0 : 1)

// kernel-ladder [NAME] [--guard FILE] [--record FILE] [--runs N]
//
// Times every rung of the kernel ladders on one thread. `--record` stores the share of the measured peak that the last
// rung of every ladder reaches, in place of those of the same instruction set; `--guard` compares with stored shares and fails when
// one has lost more than 15 %.
import Glibc
import Kernels
import Ladder
import Operators
import Support

/// Loss against the stored share that fails: above the noise of a quiet machine, below what a lost optimisation costs.
let allowedLoss = 0.15

/// Measurements that `--guard` and `--record` take the best of.
let roundCount = 4

var wanted: String?
var guardFile: String?
var recordFile: String?
var runs = 5
var arguments = CommandLine.arguments.dropFirst().makeIterator()
while let argument = arguments.next() {
  switch argument {
  case "--guard": guardFile = arguments.next()
  case "--record": recordFile = arguments.next()
  case "--runs": runs = arguments.next().flatMap { Int($0) } ?? runs
  case "--help":
    print("usage: kernel-ladder [NAME] [--guard FILE] [--record FILE] [--runs N]")
    exit(0)
  default: wanted = argument
  }
}

/// Lines of name, instruction set and share.
func storedShares(_ path: String) throws -> [[String]] {
  let text = try MappedFile(path: path)
  return String(decoding: text.bytes, as: UTF8.self).split(separator: "\n")
    .map { $0.split(separator: "\t").map { String($0) } }.filter { $0.count == 3 }
}

func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }

do {
  let lastOnly = guardFile != nil || recordFile != nil
  let pool = ThreadPool(threads: 1)
  var peak = try MachinePeak.measure(pool: pool)
  let isa = Kernels.current.name.description
  let ladders = try Ladder.all(small: false).filter { ladder in wanted.map { ladder.name.contains($0) } ?? true }
  var best = [Double](repeating: .infinity, count: ladders.count)
  // Peaks and times of the best of several rounds: other work on the machine then has to hit the same thing in all.
  for round in 0..<(lastOnly ? roundCount : 1) {
    if round > 0 { peak = peak.max(try MachinePeak.measure(pool: pool)) }
    for (index, ladder) in ladders.enumerated() {
      if !lastOnly { print("\n\(ladder.name)") }
      for (position, rung) in ladder.rungs.enumerated() {
        let isLast = position == ladder.rungs.count - 1
        guard isLast || !lastOnly else { continue }
        // The engine's operator keeps its result to itself when no room is given.
        var output = [Float](repeating: 0, count: isLast ? 0 : ladder.outputCount)
        try rung.run(&output)
        let time = try seconds(runs: isLast ? 4 * runs : 1) { try rung.run(&output) }
        if isLast { best[index] = min(best[index], time) }
        if !lastOnly {
          let share = percent(ladder.efficiency(seconds: time, peak))
          print("  \(rung.name): \((time * 1e5).rounded() / 100) ms, \(share) of peak. \(rung.sentence)")
        }
      }
    }
  }
  print(
    "\(isa), one thread: \((peak.operationsPerSecond * 1e-8).rounded() / 10) GFLOP/s, copying",
    "\((peak.bytesPerSecond * 1e-8).rounded() / 10) GB/s")
  let shares = zip(ladders, best).map { (name: $0.name, share: $0.efficiency(seconds: $1, peak)) }
  if let recordFile {
    let mine = shares.map { [$0.name, isa, "\(($0.share * 1000).rounded() / 1000)"] }
    let stored = access(recordFile, F_OK) == 0 ? try storedShares(recordFile) : []
    let others = stored.filter { line in !mine.contains { $0[..<2] == line[..<2] } }
    let lines = (others + mine).map { $0.joined(separator: "\t") + "\n" }.joined()
    guard let file = fopen(recordFile, "w") else { throw Failure(.io, "cannot write", file: recordFile) }
    fputs(lines, file)
    fclose(file)
    print("stored in \(recordFile)")
  }
  if let guardFile {
    let lines = try storedShares(guardFile)
    var lost = false
    for (name, share) in shares {
      guard
        let stored = lines.first(where: { $0[0] == name && $0[1] == isa }).flatMap({ Double($0[2]) })
      else {
        print("\(name): \(percent(share)) of peak, nothing stored for \(isa)")
        continue
      }
      let fails = share < stored * (1 - allowedLoss)
      lost = lost || fails
      print("\(fails ? "LOST" : "ok") \(name): \(percent(share)) of peak, stored \(percent(stored))")
    }
    exit(lost ? 1 : 0)
  }
} catch {
  print("\(error)")
  exit(2)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    axaddrspace_bench::run(None)
}

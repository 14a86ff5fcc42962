// The performance counters: 64 bits each, cleared at start, counting while a run is on.
// Does: add to counter n the number in lane n of add_i, each cycle of a run.
// Does not: know what is counted; the order is that of vla_isa.registers.COUNTERS.
// Latency: counts change at the clock edge; nothing changes after done, so the host reads them at leisure.
`default_nettype none
module vla_control_counters #(
  parameter Counters = 11,
  parameter AddBits  = 5   // bits of a lane
) (
  input  wire                        clk_i,
  input  wire                        rst_i,
  input  wire                        clear_i,
  input  wire                        enable_i,
  input  wire [Counters*AddBits-1:0] add_i,
  output wire [Counters*64-1:0]      count_o
);

  genvar n;
  generate
    for (n = 0; n < Counters; n = n + 1) begin : g_counter
      reg [63:0] count_q;
      always @(posedge clk_i) begin
        if (rst_i || clear_i) count_q <= 64'd0;
        else if (enable_i)    count_q <= count_q + {{(64-AddBits){1'b0}}, add_i[AddBits*n +: AddBits]};
      end
      assign count_o[64*n +: 64] = count_q;
    end
  endgenerate

endmodule
`default_nettype wire

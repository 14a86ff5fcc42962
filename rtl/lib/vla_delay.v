// Data a fixed number of cycles later.
// Does: move every cycle, so data keeps its distance to a pipeline that does not stall.
// Does not: reset (its data goes beside a valid bit), stall.
// Latency: Cycles.
`default_nettype none
module vla_delay #(
  parameter Width  = 8,  // bits
  parameter Cycles = 2   // at least 1
) (
  input  wire             clk_i,
  input  wire [Width-1:0] data_i,
  output wire [Width-1:0] data_o
);

  reg [Width-1:0] data_q [1:Cycles];
  integer         k;

  assign data_o = data_q[Cycles];

  always @(posedge clk_i) begin
    data_q[1] <= data_i;
    for (k = 2; k <= Cycles; k = k + 1) data_q[k] <= data_q[k-1];
  end

  generate
    if (Cycles < 1) begin : g_check
      vla_bad_parameter_delay_cycles_at_least_1 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire

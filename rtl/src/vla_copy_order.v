// Whether a COPY may write a unit of its destination twice, so that its runs must be written in order.
// Does: say no for nested strides (each step clears what the inner dimensions reach) that end inside the
// memory, yes for everything else. Does not: find out whether other strides really overlap.
// Latency: in_order_o holds from the second clock edge after load_i until the next load_i.
`default_nettype none
module vla_copy_order #(
  parameter Units = 131072  // of the destination memory; addresses wrap there
) (
  input  wire        clk_i,
  input  wire        load_i,     // latch what follows
  input  wire [15:0] n0_i,       // in units of the destination
  input  wire [11:0] n1_i,
  input  wire [11:0] n2_i,
  input  wire [11:0] n3_i,
  input  wire [31:0] base_i,
  input  wire [21:0] stride1_i,
  input  wire [21:0] stride2_i,
  input  wire [21:0] stride3_i,
  input  wire [10:0] ring_i,     // rows of the ring, 0: none
  output reg         in_order_o
);

  localparam Sum = 38;  // bits that no sum below exceeds
  localparam [Sum-1:0] End = {6'd0, Units[31:0]};

  wire [11:0] slots = ring_i == 11'd0 ? n2_i : {1'b0, ring_i};

  // First clock edge: how far each dimension's steps go.
  reg [15:0] n0_q;
  reg [2:0]  single_q;  // a dimension that takes no step
  reg [31:0] base_q;
  reg [21:0] stride1_q, stride2_q, stride3_q;
  reg [33:0] go1_q, go2_q, go3_q;
  always @(posedge clk_i) begin
    if (load_i) begin
      n0_q      <= n0_i;
      single_q  <= {n3_i < 12'd2, n2_i < 12'd2, n1_i < 12'd2};
      base_q    <= base_i;
      stride1_q <= stride1_i;
      stride2_q <= stride2_i;
      stride3_q <= stride3_i;
      go1_q     <= {22'd0, n1_i - 12'd1} * {12'd0, stride1_i};
      go2_q     <= {22'd0, slots - 12'd1} * {12'd0, stride2_i};
      go3_q     <= {22'd0, n3_i - 12'd1} * {12'd0, stride3_i};
    end
  end

  // Second: units reached by a run, a row, all rows, everything.
  wire [Sum-1:0] reach0 = {22'd0, n0_q};
  wire [Sum-1:0] reach1 = reach0 + {4'd0, go1_q};
  wire [Sum-1:0] reach2 = reach1 + {4'd0, go2_q};
  wire [Sum-1:0] reach3 = reach2 + {4'd0, go3_q};
  wire           clear1 = single_q[0] || {16'd0, stride1_q} >= reach0;
  wire           clear2 = single_q[1] || {16'd0, stride2_q} >= reach1;
  wire           clear3 = single_q[2] || {16'd0, stride3_q} >= reach2;
  wire           fits   = {6'd0, base_q} + reach3 <= End;
  always @(posedge clk_i) begin
    in_order_o <= !(clear1 && clear2 && clear3 && fits);
  end

endmodule
`default_nettype wire
